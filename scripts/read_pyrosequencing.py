"""Read the pyrosequencer's exports: every library's readings at the panel's CpGs, and what became of each row."""

from job import logged, placed

with logged(snakemake.log[0]) as log:
    from hpaxis.methylation.assays.pyrosequencing import read_exports
    from hpaxis.methylation.panels.panel import panel_folder, read_panel
    from hpaxis.problems import raise_if_any
    from hpaxis.sheets import read_sheet, sheet_schema
    from hpaxis.tables import write_table

    sheet, problems = read_sheet(snakemake.input.sheet, sheet_schema("libraries"))
    raise_if_any(problems)
    sheet = sheet[sheet["assay"] == "pyrosequencing"].copy()
    panels = {name: read_panel(panel_folder(name)) for name in sorted(sheet["panel"].unique())}
    sheet["export"] = [placed(cell, snakemake.params.exports, snakemake.input.exports) for cell in sheet["export"]]
    readings, rows = read_exports(sheet, panels, snakemake.params.settings, str(snakemake.input.sheet))
    write_table(readings, snakemake.output.readings, "methylation_pyrosequencing")
    rows["export"] = rows["export"].replace(dict(zip(snakemake.input.exports, snakemake.params.exports)))
    write_table(rows, snakemake.output.rows, "methylation_pyrosequencing_rows")
    log.info("%d readings of %d libraries; %d rows left out", len(readings), readings["library_id"].nunique(),
             (rows["status"] == "left out").sum())  # fmt: skip
