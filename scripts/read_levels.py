"""Read levels that another laboratory finished: every library's units at the panel's CpGs, with their errors."""

from job import logged, placed

with logged(snakemake.log[0]) as log:
    from hpaxis.methylation.assays.finished_levels import read_levels
    from hpaxis.methylation.panels.panel import panel_folder, read_panel
    from hpaxis.problems import raise_if_any
    from hpaxis.sheets import read_sheet, sheet_schema
    from hpaxis.tables import write_table

    sheet, problems = read_sheet(snakemake.input.sheet, sheet_schema("libraries"))
    raise_if_any(problems)
    sheet = sheet[sheet["assay"] == "levels"].copy()
    panels = {name: read_panel(panel_folder(name)) for name in sorted(sheet["panel"].unique())}
    sheet["levels"] = [placed(cell, snakemake.params.levels, snakemake.input.levels) for cell in sheet["levels"]]
    table = read_levels(sheet, panels, snakemake.params.settings, str(snakemake.input.sheet))
    write_table(table, snakemake.output.levels)
    log.info("%d levels of %d libraries", len(table), table["library_id"].nunique())
