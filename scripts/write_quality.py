"""Write the page on the quality of the libraries."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.problems import raise_if_any
    from hpaxis.report.quality import Quality, quality_page
    from hpaxis.sheets import read_sheet, sheet_schema
    from hpaxis.tables import read_each, read_table, whole_file

    sheet, problems = read_sheet(snakemake.input.sheet, sheet_schema("libraries"))
    raise_if_any(problems)
    page = quality_page(
        Quality(
            config=snakemake.params.config,
            sheet=sheet,
            **{
                name: read_table(snakemake.input[name])
                for name in ("libraries", "limits", "crosstalk", "calibration", "read_level", "concordance")
            },
            reads=read_each(snakemake.input.reads),
            cycles=read_each(snakemake.input.cycles),
            people=read_table(snakemake.input.analysis)[["participant_id", "arm"]].drop_duplicates("participant_id"),
            figures={Path(path).stem: Path(path).read_text(encoding="utf-8") for path in snakemake.input.figures},
        )
    )
    with whole_file(snakemake.output.page) as part:
        part.write_text(page, encoding="utf-8")
    log.info("%d characters", len(page))
