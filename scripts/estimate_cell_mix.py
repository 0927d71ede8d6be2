"""Estimate the shares of cell types in every saliva sample, from the panels' marker CpGs."""

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.methylation.levels.cell_mix import estimate_cell_mix
    from hpaxis.methylation.panels.cell_types import read_cell_types
    from hpaxis.methylation.panels.panel import panel_folder, read_panel
    from hpaxis.tables import read_folder, read_table, write_table

    libraries = read_table(snakemake.input.libraries)
    known = {name: set(read_panel(panel_folder(name)).cpgs["cpg_id"]) for name in sorted(libraries["panel"].unique())}
    calls = read_folder(snakemake.input.calls, ".cpg.tsv")
    table = estimate_cell_mix(libraries, calls, read_cell_types(known), snakemake.params.confidence)
    write_table(table, snakemake.output.cell_mix, "methylation_cell_mix")
    log.info("%d of %d shares known", table["fraction"].notna().sum(), len(table))
