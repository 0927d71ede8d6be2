# What a model's job writes.
FITTED = (
    "refused",
    "plan",
    "used",
    "predictor_by_arm",
    "coefficients",
    "slopes",
    "slope_differences",
    "region",
    "fit",
    "lines",
    "points",
    "effects",
    "resampling",
    "influence",
    "region_without",
    "sensitivity",
    "sensitivity_region",
    "reliability",
    "imputations",
    "power",
    "detectable",
    "warnings",
    "family",
    "mediation",
    "dose",
    "complier",
    "multiverse",
    "multiverse_joint",
    "change",
    "mixed",
    "generalised",
    "generalised_effects",
    "generalised_verdict",
    "prior",
    "arms",
    "summary",
    "verdict",
    "robustness",
)


rule fit_model:
    input:
        analysis="<results>/cohort/analysis.tsv",
        lock=[here(p) for p in [study.config.moderation.lock] if p and Path(p).exists()],
    output:
        **{name: f"<results>/moderation/{{model}}/{name}.tsv" for name in FITTED},
    log:
        "<logs>/fit_model/{model}.log",
    benchmark:
        "<benchmarks>/fit_model/{model}.tsv"
    conda:
        "../envs/hpaxis.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        code=code_of("fit_model"),
        columns=study.config.cohort.columns,
        entry=lambda w: study.models[w.model],
        settings=settings_of("fit_model", study.config.moderation),
        arms=study.config.arms,
        seed=study.config.seed,
        context=study.context(),
        facts=facts(study),
    script:
        "../../scripts/fit_model.py"


# What is drawn of each model, and as what it stands in Snakemake's report.
DRAWN = {
    "slopes": "Slopes by arm",
    "effects": "Region of significance",
    "influence": "Influence of single cases",
    "versions": "Specification curve",
    "power": "Power",
}


# Drawing takes less than starting a job does: one draws all models.
rule present_models:
    input:
        tables=expand(
            "<results>/moderation/{model}/{table}.tsv",
            model=study.models,
            table=[
                "refused",
                "coefficients",
                "slope_differences",
                "sensitivity",
                "fit",
                "lines",
                "points",
                "slopes",
                "region",
                "sensitivity_region",
                "verdict",
                "effects",
                "influence",
                "multiverse",
                "multiverse_joint",
                "power",
                "detectable",
            ],
        ),
    output:
        **{
            f"apa_{kind}": expand(f"<results>/moderation/{{model}}/apa/table.{kind}", model=study.models)
            for kind in ("tsv", "html", "tex", "docx")
        },
        **{
            name: [
                report(
                    f"<results>/report/figures/models/{model}/{name}.svg",
                    caption=f"../report/{name}.rst",
                    category="Moderation",
                    subcategory=model,
                    labels={"figure": title},
                )
                for model in study.models
            ]
            for name, title in DRAWN.items()
        },
    log:
        "<logs>/present_models.log",
    benchmark:
        "<benchmarks>/present_models.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("present_models"),
        models=study.models,
        smallest_cell=study.config.report.smallest_cell,
    script:
        "../../scripts/present_models.py"


rule moderation:
    input:
        tables=expand("<results>/moderation/{model}/{table}.tsv", model=study.models, table=FITTED),
        figures=[path for name in DRAWN for path in rules.present_models.output[name]] if study.models else [],
        apa=rules.present_models.output.apa_tsv if study.models else [],
