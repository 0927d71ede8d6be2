rule fit_model:
    input:
        analysis="<results>/cohort/analysis.tsv",
        lock=[here(p) for p in [study.config["moderation"]["lock"]] if p and Path(p).exists()],
        code=code_of("fit_model"),
    output:
        refused="<results>/moderation/{model}/refused.tsv",
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
        change="<results>/moderation/{model}/change.tsv",
        mixed="<results>/moderation/{model}/mixed.tsv",
        generalised="<results>/moderation/{model}/generalised.tsv",
        generalised_effects="<results>/moderation/{model}/generalised_effects.tsv",
        generalised_verdict="<results>/moderation/{model}/generalised_verdict.tsv",
        prior="<results>/moderation/{model}/prior.tsv",
        arms="<results>/moderation/{model}/arms.tsv",
        summary="<results>/moderation/{model}/summary.tsv",
        verdict="<results>/moderation/{model}/verdict.tsv",
        robustness="<results>/moderation/{model}/robustness.tsv",
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
        columns=study.config["cohort"]["columns"],
        entry=lambda w: study.models[w.model],
        settings=settings_of("fit_model", study.config["moderation"]),
        arms=study.config["arms"],
        seed=study.config["seed"],
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
                "effects",
                "influence",
                "multiverse",
                "multiverse_joint",
                "power",
                "detectable",
            ],
        ),
        code=code_of("present_models"),
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
        models=study.models,
    script:
        "../../scripts/present_models.py"


rule moderation:
    input:
        tables=expand(rules.fit_model.output, model=study.models),
        figures=[path for name in DRAWN for path in rules.present_models.output[name]] if study.models else [],
        apa=rules.present_models.output.apa_tsv if study.models else [],
