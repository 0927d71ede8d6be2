rule fit_model:
    input:
        analysis="<results>/cohort/analysis.tsv",
        library=library("moderation"),
    output:
        used="<results>/moderation/{model}/used.tsv",
        predictor_by_arm="<results>/moderation/{model}/predictor_by_arm.tsv",
        coefficients="<results>/moderation/{model}/coefficients.tsv",
        slopes="<results>/moderation/{model}/slopes.tsv",
        slope_differences="<results>/moderation/{model}/slope_differences.tsv",
        region="<results>/moderation/{model}/region.tsv",
        fit="<results>/moderation/{model}/fit.tsv",
        lines="<results>/moderation/{model}/lines.tsv",
        points="<results>/moderation/{model}/points.tsv",
        effects="<results>/moderation/{model}/effects.tsv",
    log:
        "<logs>/fit_model/{model}.log",
    benchmark:
        "<benchmarks>/fit_model/{model}.tsv"
    conda:
        "../envs/hpaxis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        entry=lambda w: study.models[w.model],
        settings=study.config["moderation"],
        arms=study.config["arms"],
        seed=study.config["seed"],
    script:
        "../../scripts/fit_model.py"


rule moderation:
    input:
        expand(rules.fit_model.output, model=study.models),
