rule fit_model:
    input:
        analysis="<results>/cohort/analysis.tsv",
        lock=[p for p in [study.config["moderation"]["lock"]] if p and Path(p).exists()],
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


rule present_model:
    input:
        **{
            name: f"<results>/moderation/{{model}}/{name}.tsv"
            for name in (
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
            )
        },
        code=code_of("present_model"),
    output:
        apa_tsv="<results>/moderation/{model}/apa/table.tsv",
        apa_html="<results>/moderation/{model}/apa/table.html",
        apa_tex="<results>/moderation/{model}/apa/table.tex",
        apa_docx="<results>/moderation/{model}/apa/table.docx",
        slopes=report(
            "<results>/report/figures/models/{model}/slopes.svg",
            caption="../report/slopes.rst",
            category="Moderation",
            subcategory="{model}",
            labels={"figure": "Slopes by arm"},
        ),
        effects=report(
            "<results>/report/figures/models/{model}/effects.svg",
            caption="../report/effects.rst",
            category="Moderation",
            subcategory="{model}",
            labels={"figure": "Region of significance"},
        ),
        influence=report(
            "<results>/report/figures/models/{model}/influence.svg",
            caption="../report/influence.rst",
            category="Moderation",
            subcategory="{model}",
            labels={"figure": "Influence of single cases"},
        ),
        versions=report(
            "<results>/report/figures/models/{model}/versions.svg",
            caption="../report/versions.rst",
            category="Moderation",
            subcategory="{model}",
            labels={"figure": "Specification curve"},
        ),
        power=report(
            "<results>/report/figures/models/{model}/power.svg",
            caption="../report/power.rst",
            category="Moderation",
            subcategory="{model}",
            labels={"figure": "Power"},
        ),
    log:
        "<logs>/present_model/{model}.log",
    benchmark:
        "<benchmarks>/present_model/{model}.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        entry=lambda w: study.models[w.model],
    script:
        "../../scripts/present_model.py"


rule moderation:
    input:
        tables=expand(rules.fit_model.output, model=study.models),
        figures=expand(
            [path for name, path in rules.present_model.output.items() if not name.startswith("apa")],
            model=study.models,
        ),
        apa=expand(rules.present_model.output.apa_tsv, model=study.models),
