rule plot_methylation:
    input:
        libraries="<results>/methylation/libraries.tsv",
        calls=rules.estimate_methylation.output.calls,
        concordance="<results>/methylation/concordance.tsv",
        cycles=rules.estimate_methylation.input.cycles,
        standards=rules.estimate_methylation.output.standards,
        calibration=rules.estimate_methylation.output.calibration,
        analysis="<results>/cohort/analysis.tsv",
        panels=panel_files(*study.library_ids()),
    output:
        levels="<results>/report/cpg_levels.tsv",
        effects="<results>/report/cpg_effects.tsv",
        conversion=report(
            "<results>/report/figures/methylation/conversion.svg",
            caption="../report/conversion.rst",
            category="Methylation",
            labels={"figure": "Conversion and depth of every library"},
        ),
        cpgs=report(
            "<results>/report/figures/methylation/cpgs.svg",
            caption="../report/cpgs.rst",
            category="Methylation",
            labels={"figure": "Methylation of each CpG by arm"},
        ),
        gene=report(
            "<results>/report/figures/methylation/gene.svg",
            caption="../report/gene.rst",
            category="Methylation",
            labels={"figure": "CpGs on the gene"},
        ),
        concordance=report(
            "<results>/report/figures/methylation/concordance.svg",
            caption="../report/concordance.rst",
            category="Methylation",
            labels={"figure": "Agreement with a second caller"},
        ),
        calibration=report(
            "<results>/report/figures/methylation/calibration.svg",
            caption="../report/calibration.rst",
            category="Methylation",
            labels={"figure": "Standards of known percentage, and the calibration"},
        ),
        cycles=report(
            "<results>/report/figures/methylation/cycles.svg",
            caption="../report/cycles.rst",
            category="Methylation",
            labels={"figure": "Methylation and non-conversion by cycle"},
        ),
    log:
        "<logs>/plot_methylation.log",
    benchmark:
        "<benchmarks>/plot_methylation.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("plot_methylation"),
        arms=study.config.arms,
        gates=report_settings.gates(study.config.methylation),
        confidence=study.config.methylation.confidence,
    script:
        "../../scripts/plot_methylation.py"


rule plot_patterns:
    input:
        patterns=of_libraries("<results>/methylation/patterns/{library}.tsv", counted),
        libraries="<results>/methylation/libraries.tsv",
        analysis="<results>/cohort/analysis.tsv",
    output:
        molecules=report(
            "<results>/report/figures/methylation/molecules.svg",
            caption="../report/molecules.rst",
            category="Methylation",
            labels={"figure": "Molecules by arm"},
        ),
        lollipops=report(
            "<results>/report/figures/methylation/lollipops.svg",
            caption="../report/lollipops.rst",
            category="Methylation",
            labels={"figure": "Some molecules by arm"},
        ),
    log:
        "<logs>/plot_patterns.log",
    benchmark:
        "<benchmarks>/plot_patterns.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("plot_patterns"),
        arms=study.config.arms,
        smallest_cell=study.config.report.smallest_cell,
    script:
        "../../scripts/plot_patterns.py"


rule describe_cohort:
    input:
        attrition="<results>/cohort/attrition.tsv",
        analysis="<results>/cohort/analysis.tsv",
        models=rules.moderation.input.tables,
    output:
        **{
            name: f"<results>/report/tables/{name}.tsv"
            for name in ("flow", "table1", "correlations", "missing", "received", "analysed", "arm_differences")
        },
    log:
        "<logs>/describe_cohort.log",
    benchmark:
        "<benchmarks>/describe_cohort.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("describe_cohort"),
        config=settings_of("describe_cohort", study.config),
    script:
        "../../scripts/describe_cohort.py"


rule plot_cohort:
    input:
        flow=rules.describe_cohort.output.flow,
        analysed=rules.describe_cohort.output.analysed,
        received=rules.describe_cohort.output.received,
        analysis="<results>/cohort/analysis.tsv",
    output:
        **(
            {
                "distributions": report(
                    "<results>/report/figures/cohort/distributions.svg",
                    caption="../report/distributions.rst",
                    category="Participants",
                    labels={"figure": "Methylation and hair cortisol by arm"},
                )
            }
            if with_saliva or study.plate_ids()
            else {}
        ),
        flow=report(
            "<results>/report/figures/cohort/flow.svg",
            caption="../report/flow.rst",
            category="Participants",
            labels={"figure": "Flow of participants by arm"},
        ),
    log:
        "<logs>/plot_cohort.log",
    benchmark:
        "<benchmarks>/plot_cohort.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("plot_cohort"),
        arms=study.config.arms,
        index=report_settings.primary_index(study.models),
        smallest_cell=study.config.report.smallest_cell,
    script:
        "../../scripts/plot_cohort.py"


rule plot_models:
    input:
        tables=rules.moderation.input.tables,
    output:
        forest=report(
            "<results>/report/figures/moderation/forest.svg",
            caption="../report/forest.rst",
            category="Moderation",
            labels={"figure": "The interaction in every model"},
        ),
    log:
        "<logs>/plot_models.log",
    benchmark:
        "<benchmarks>/plot_models.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("plot_models"),
        models=study.models,
    script:
        "../../scripts/plot_models.py"


# Every file that the study brought, by its role.
BROUGHT = study.brought()


rule checksum_inputs:
    input:
        **{role: paths if role in ("reads", "plates") else [here(p) for p in paths] for role, paths in BROUGHT.items()},
    output:
        checksums="<results>/report/checksums.tsv",
    log:
        "<logs>/checksum_inputs.log",
    benchmark:
        "<benchmarks>/checksum_inputs.tsv"
    conda:
        "../envs/hpaxis.yaml"
    resources:
        runtime=growing(60),
    params:
        code=code_of("checksum_inputs"),
        checkout=os.path.relpath(ROOT),
        names=BROUGHT,
        content=content(*(path for paths in BROUGHT.values() for path in paths)),
    script:
        "../../scripts/checksum_inputs.py"


rule write_report:
    input:
        sheet=SHEETS["libraries"],
        libraries="<results>/methylation/libraries.tsv" if with_saliva else [],
        instrument="<results>/methylation/instrument.tsv" if pyrosequenced else [],
        levels=rules.plot_methylation.output.levels if with_saliva else [],
        effects=rules.plot_methylation.output.effects if with_saliva else [],
        concordance="<results>/methylation/concordance.tsv" if with_saliva else [],
        analysis="<results>/cohort/analysis.tsv",
        attrition="<results>/cohort/attrition.tsv",
        audit="<results>/cohort/join_audit.tsv",
        checksums=rules.checksum_inputs.output.checksums,
        cortisol=rules.cortisol.input.tables,
        models=rules.moderation.input.tables,
        figures=[
            *(
                path
                for name, path in rules.plot_methylation.output.items()
                if name not in ("levels", "effects") and with_saliva
            ),
            *(rules.plot_patterns.output if with_saliva else []),
            *rules.plot_cohort.output,
            *rules.cortisol.input.figures,
            *rules.moderation.input.figures,
            *(rules.plot_models.output if study.models else []),
            *rules.programme.input.figures,
        ],
        programme=rules.programme.input.tables,
        truth="<results>/simulation/truth/coefficients.tsv" if simulated else [],
        described=rules.describe_cohort.output,
    output:
        page=report(
            "<results>/report/report.html",
            caption="../report/page.rst",
            category="Report",
            labels={"figure": "The whole report"},
        ),
        blocks="<results>/report/report.json",
    log:
        "<logs>/write_report.log",
    benchmark:
        "<benchmarks>/write_report.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("write_report"),
        config=study.config,
        snps=report_settings.masked_positions(study.libraries),
        genome=report_settings.genome_check(study.libraries),
    script:
        "../../scripts/write_report.py"


rule write_quality:
    input:
        sheet=SHEETS["libraries"],
        libraries=rules.estimate_methylation.output.libraries,
        limits=rules.estimate_methylation.output.limits,
        crosstalk=rules.estimate_methylation.output.crosstalk,
        calibration=rules.estimate_methylation.output.calibration,
        read_level=rules.estimate_methylation.output.read_level,
        concordance=rules.compare_callers.output.concordance,
        reads=rules.estimate_methylation.input.reads,
        cycles=rules.estimate_methylation.input.cycles,
        analysis="<results>/cohort/analysis.tsv",
        figures=[path for name, path in rules.plot_methylation.output.items() if name not in ("levels", "effects")],
    output:
        page=report(
            "<results>/report/methylation_quality.html",
            caption="../report/quality.rst",
            category="Report",
            labels={"figure": "Quality of the methylation libraries"},
        ),
    log:
        "<logs>/write_quality.log",
    benchmark:
        "<benchmarks>/write_quality.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("write_quality"),
        config=settings_of("write_quality", study.config),
    script:
        "../../scripts/write_quality.py"


rule write_bench:
    input:
        libraries="<results>/methylation/libraries.tsv" if with_saliva else [],
        cortisol=rules.cortisol.input.tables,
    output:
        page="<results>/report/bench.html",
    log:
        "<logs>/write_bench.log",
    benchmark:
        "<benchmarks>/write_bench.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("write_bench"),
        config=settings_of("write_bench", study.config),
    script:
        "../../scripts/write_bench.py"


# Outputs that come one a library stand in the crate by role: their names are ids.
rule write_crate:
    input:
        checksums=rules.checksum_inputs.output.checksums,
        workflow=shipped("workflow", "Snakefile"),
        methylation=[
            *([rules.estimate_methylation.output.libraries] if with_saliva else []),
            *([rules.estimate_methylation.output.indices] if with_saliva else []),
            *(["<results>/methylation/instrument.tsv"] if pyrosequenced else []),
            *(rules.compare_callers.output if with_saliva else []),
        ],
        each_library=rules.estimate_methylation.output.calls if with_saliva else [],
        cohort=rules.build_cohort.output,
        cortisol=rules.cortisol.input.tables,
        models=rules.moderation.input.tables,
        programme=rules.programme.input.tables,
        figures=rules.write_report.input.figures,
        report=rules.write_report.output,
    output:
        metadata="<results>/report/crate/ro-crate-metadata.json",
        workflow="<results>/report/crate/workflow/Snakefile",
    log:
        "<logs>/write_crate.log",
    benchmark:
        "<benchmarks>/write_crate.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("write_crate"),
        config=study.config,
    script:
        "../../scripts/write_crate.py"


rule report:
    input:
        rules.write_report.output.page,
        rules.write_quality.output.page if with_saliva else [],
        rules.write_bench.output.page,
        rules.write_crate.output,


# For authors, on request.
rule write_writeup:
    input:
        **dict(rules.write_report.input.items()),
        calls=[rules.estimate_methylation.output.calls] if with_saliva else [],
        reads=[path for name in study.library_ids() for path in study.fastq(name)],
    output:
        folder=directory("<results>/writeup"),
    log:
        "<logs>/write_writeup.log",
    benchmark:
        "<benchmarks>/write_writeup.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("write_writeup"),
        config=study.config,
        snps=report_settings.masked_positions(study.libraries),
        genome=report_settings.genome_check(study.libraries),
        reads={name: study.fastq(name) for name in study.library_ids()},
    script:
        "../../scripts/write_writeup.py"


rule writeup:
    input:
        rules.write_writeup.output,


# For reviewers, on request: what may be shared (`shared`), or all that is needed to run again (`participants`).
rule write_bundle:
    input:
        counts=[
            *(rules.release_counts.output if with_saliva else []),
            *([rules.read_pyrosequencing.output.readings] if pyrosequenced else []),
        ],
        tables=[
            *rules.write_crate.input.methylation,
            *rules.build_cohort.output,
            *rules.cortisol.input.tables,
            *rules.moderation.input.tables,
            *rules.programme.input.tables,
        ],
        named=[here(path) for path in BROUGHT["tables"]],
        report=[
            *rules.write_report.output,
            *([rules.write_quality.output.page] if with_saliva else []),
            *rules.write_report.input.figures,
            *rules.write_crate.output,
        ],
        sheets=rules.checksum_inputs.input.sheets,
        plates=rules.checksum_inputs.input.plates,
    output:
        "<results>/bundle/{kind}.zip",
    log:
        "<logs>/write_bundle/{kind}.log",
    benchmark:
        "<benchmarks>/write_bundle/{kind}.tsv"
    wildcard_constraints:
        kind="shared|participants",
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("write_bundle"),
        config=study.config,
    script:
        "../../scripts/write_bundle.py"


rule bundle:
    input:
        "<results>/bundle/shared.zip",
