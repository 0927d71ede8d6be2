rule build_cohort:
    input:
        participants=SHEETS["participants"],
        dictionary=DICTIONARY,
        libraries=SHEETS["libraries"],
        hair=SHEETS["hair"],
        plates=SHEETS["plates"],
        quality="<results>/methylation/libraries.tsv" if with_saliva else [],
        indices="<results>/methylation/indices.tsv" if with_saliva else [],
        cell_mix="<results>/methylation/cell_mix.tsv" if cell_mixed else [],
        saliva_cortisol=SHEETS["saliva_cortisol"],
        samples="<results>/cortisol/samples.tsv" if study.config.sheets.hair else [],
        trajectories="<results>/cortisol/trajectories.tsv" if study.config.sheets.hair else [],
        tubes="<results>/cortisol/saliva_tubes.tsv" if with_series else [],
        series="<results>/cortisol/saliva_series.tsv" if with_series else [],
    output:
        analysis="<results>/cohort/analysis.tsv",
        attrition="<results>/cohort/attrition.tsv",
        join_audit="<results>/cohort/join_audit.tsv",
    log:
        "<logs>/build_cohort.log",
    benchmark:
        "<benchmarks>/build_cohort.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("build_cohort"),
        settings=settings_of("build_cohort", study.config.cohort),
        arms=study.config.arms,
        mask=mask(study),
        content=content(*study.config.sheets.values(), study.config.cohort.dictionary),
    script:
        "../../scripts/build_cohort.py"


rule cohort:
    input:
        rules.build_cohort.output,
