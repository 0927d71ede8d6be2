# A plate takes less than starting a job does: one evaluates several, in the order of their ids.
for batch, names in batched(measured_plates, study.config.cortisol.plates_per_job):

    rule:
        name:
            f"quantify_plates_batch_{batch}"
        input:
            readers=[study.plate(name)["reader_file"] for name in names],
            layouts=[study.plate(name)["layout_file"] for name in names],
            hair=SHEETS["hair"],
            saliva=SHEETS["saliva_cortisol"],
            kits=KITS,
            ranges=here(study.config.cortisol.control_ranges),
        output:
            **{
                part: expand(f"<results>/cortisol/plates/{{plate}}/{part}.tsv", plate=names)
                for part in ("summary", "wells", "estimates", "quality", "rerun", "band")
            },
        log:
            f"<logs>/quantify_plates/batch_{batch}.log",
        benchmark:
            f"<benchmarks>/quantify_plates/batch_{batch}.tsv"
        conda:
            "../envs/hpaxis.yaml"
        params:
            code=code_of("quantify_plates"),
            plates=[study.plate(name).drop("row").to_dict() for name in names],
            settings=settings_of("quantify_plates", study.config.cortisol),
            content=content(
                *(study.plate(name)[column] for name in names for column in ("reader_file", "layout_file")),
                study.config.sheets.hair,
                study.config.sheets.saliva_cortisol,
                study.config.cortisol.kits,
            ),
        script:
            "../../scripts/quantify_plates.py"


rule collect_cortisol:
    input:
        summary=expand("<results>/cortisol/plates/{plate}/summary.tsv", plate=measured_plates),
        wells=expand("<results>/cortisol/plates/{plate}/wells.tsv", plate=measured_plates),
        estimates=expand("<results>/cortisol/plates/{plate}/estimates.tsv", plate=measured_plates),
        quality=expand("<results>/cortisol/plates/{plate}/quality.tsv", plate=measured_plates),
        rerun=expand("<results>/cortisol/plates/{plate}/rerun.tsv", plate=measured_plates),
        band=expand("<results>/cortisol/plates/{plate}/band.tsv", plate=measured_plates),
        finished=[study.plate(p)["reader_file"] for p in finished_plates],
        hair=SHEETS["hair"],
        participants=SHEETS["participants"],
        saliva_cortisol=SHEETS["saliva_cortisol"],
        dictionary=DICTIONARY,
        kits=KITS,
    output:
        samples="<results>/cortisol/samples.tsv",
        measurements="<results>/cortisol/measurements.tsv",
        curves="<results>/cortisol/curves.tsv",
        band="<results>/cortisol/band.tsv",
        wells="<results>/cortisol/wells.tsv",
        controls="<results>/cortisol/controls.tsv",
        quality="<results>/cortisol/quality.tsv",
        rerun="<results>/cortisol/rerun.tsv",
        reliability="<results>/cortisol/reliability.tsv",
        bridging="<results>/cortisol/bridging.tsv",
        plate_by_arm="<results>/cortisol/plate_by_arm.tsv",
        variance="<results>/cortisol/variance.tsv",
        analytes="<results>/cortisol/analytes.tsv",
        trajectories="<results>/cortisol/trajectories.tsv",
    log:
        "<logs>/collect_cortisol.log",
    benchmark:
        "<benchmarks>/collect_cortisol.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("collect_cortisol"),
        finished=[(p, study.plate(p)["kit"]) for p in finished_plates],
        cohort={key: study.config.cohort[key] for key in ("columns", "missing", "names", "dictionary")},
        arms=study.config.arms,
        settings=settings_of("collect_cortisol", study.config.cortisol),
        content=content(
            study.config.sheets.hair,
            study.config.sheets.participants,
            study.config.sheets.saliva_cortisol,
            study.config.cohort.dictionary,
            study.config.cortisol.kits,
            *(study.plate(p)["reader_file"] for p in finished_plates),
        ),
    script:
        "../../scripts/collect_cortisol.py"


rule collect_saliva:
    input:
        summary=rules.collect_cortisol.input.summary,
        estimates=rules.collect_cortisol.input.estimates,
        quality=rules.collect_cortisol.input.quality,
        saliva=SHEETS["saliva_cortisol"],
        participants=SHEETS["participants"],
        dictionary=DICTIONARY,
    output:
        saliva_tubes="<results>/cortisol/saliva_tubes.tsv",
        saliva_days="<results>/cortisol/saliva_days.tsv",
        saliva_series="<results>/cortisol/saliva_series.tsv",
        saliva_reliability="<results>/cortisol/saliva_reliability.tsv",
    log:
        "<logs>/collect_saliva.log",
    benchmark:
        "<benchmarks>/collect_saliva.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("collect_saliva"),
        cohort=rules.collect_cortisol.params.cohort,
        arms=study.config.arms,
        settings=settings_of("collect_saliva", study.config.cortisol),
        content=content(
            study.config.sheets.saliva_cortisol,
            study.config.sheets.participants,
            study.config.cohort.dictionary,
        ),
    script:
        "../../scripts/collect_saliva.py"


rule plot_cortisol:
    input:
        curves=rules.collect_cortisol.output.curves,
        band=rules.collect_cortisol.output.band,
        wells=rules.collect_cortisol.output.wells,
        controls=rules.collect_cortisol.output.controls,
        samples=rules.collect_cortisol.output.samples,
        measurements=rules.collect_cortisol.output.measurements,
    output:
        **{
            name: report(
                f"<results>/report/figures/cortisol/{name}.svg",
                caption=f"../report/{name}.rst",
                category="Cortisol",
                labels={"figure": title},
            )
            for name, title in {
                "curves": "Standard curve of each plate",
                "plates": "Plates, well by well",
                "controls": "Controls over plates",
            }.items()
            if measured_plates
        },
        **(
            {
                "samples": report(
                    "<results>/report/figures/cortisol/samples.svg",
                    caption="../report/samples.rst",
                    category="Cortisol",
                    labels={"figure": "Hair cortisol by arm"},
                )
            }
            if study.config.sheets.hair
            else {}
        ),
    log:
        "<logs>/plot_cortisol.log",
    benchmark:
        "<benchmarks>/plot_cortisol.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("plot_cortisol"),
        arms=study.config.arms,
    script:
        "../../scripts/plot_cortisol.py"


# Plates as the validation of an assay: what a laboratory without participants asks for, and any study may.
rule validate_plates:
    input:
        summary=rules.collect_cortisol.input.summary,
        wells=rules.collect_cortisol.input.wells,
        estimates=rules.collect_cortisol.input.estimates,
        quality=rules.collect_cortisol.input.quality,
        rerun=rules.collect_cortisol.input.rerun,
    output:
        **{
            name: f"<results>/validation/{name}.tsv"
            for name in (
                "curves",
                "standards",
                "limits",
                "precision",
                "parallelism",
                "recovery",
                "controls",
                "position",
                "quality",
                "rerun",
            )
        },
    log:
        "<logs>/validate_plates.log",
    benchmark:
        "<benchmarks>/validate_plates.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("validate_plates"),
        settings=settings_of("validate_plates", study.config.cortisol),
    script:
        "../../scripts/validate_plates.py"


rule write_validation:
    input:
        tables=rules.validate_plates.output,
        wells=rules.validate_plates.input.wells,
        band=rules.collect_cortisol.input.band,
    output:
        page=report(
            "<results>/report/validation.html",
            caption="../report/validation.rst",
            category="Report",
            labels={"figure": "Validation of the assay"},
        ),
        curves="<results>/report/figures/validation/curves.svg",
        plates="<results>/report/figures/validation/plates.svg",
        controls="<results>/report/figures/validation/controls.svg",
    log:
        "<logs>/write_validation.log",
    benchmark:
        "<benchmarks>/write_validation.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("write_validation"),
        config=settings_of("write_validation", study.config),
    script:
        "../../scripts/write_validation.py"


rule validation:
    input:
        rules.write_validation.output.page if measured_plates else [],


rule cortisol:
    input:
        tables=[
            *(rules.collect_cortisol.output if study.plate_ids() else []),
            *(rules.collect_saliva.output if with_series else []),
        ],
        figures=rules.plot_cortisol.output if study.plate_ids() else [],
