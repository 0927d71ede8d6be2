rule fit_model:
    input:
        analysis="<results>/cohort/analysis.tsv",
        lock=[p for p in [study.config["moderation"]["lock"]] if p and Path(p).exists()],
        library=library("moderation"),
    output:
        plan="<results>/moderation/{model}/plan.tsv",
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
        resampling="<results>/moderation/{model}/resampling.tsv",
        influence="<results>/moderation/{model}/influence.tsv",
        region_without="<results>/moderation/{model}/region_without.tsv",
        sensitivity="<results>/moderation/{model}/sensitivity.tsv",
        sensitivity_region="<results>/moderation/{model}/sensitivity_region.tsv",
        reliability="<results>/moderation/{model}/reliability.tsv",
        imputations="<results>/moderation/{model}/imputations.tsv",
        power="<results>/moderation/{model}/power.tsv",
        detectable="<results>/moderation/{model}/detectable.tsv",
        warnings="<results>/moderation/{model}/warnings.tsv",
        family="<results>/moderation/{model}/family.tsv",
        mediation="<results>/moderation/{model}/mediation.tsv",
        dose="<results>/moderation/{model}/dose.tsv",
        complier="<results>/moderation/{model}/complier.tsv",
        multiverse="<results>/moderation/{model}/multiverse.tsv",
        multiverse_joint="<results>/moderation/{model}/multiverse_joint.tsv",
    params:
        entry=lambda w: study.models[w.model],
        settings=study.config["moderation"],
        arms=study.config["arms"],
        seed=study.config["seed"],
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
    script:
        "../../scripts/fit_model.py"


rule moderation:
    input:
        expand(rules.fit_model.output, model=study.models),
