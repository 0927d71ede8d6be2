"""Draw molecules of each population and arm: which CpGs are methylated together."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.figures import save
    from hpaxis.methylation.figures.patterns import group_libraries, plot_heat_map, plot_lollipops, pool_patterns
    from hpaxis.tables import read_table

    patterns = {Path(p).stem: read_table(p) for p in snakemake.input.patterns}
    libraries = read_table(snakemake.input.libraries)
    libraries = libraries[libraries["library_id"].isin(patterns)]
    people, params = read_table(snakemake.input.analysis), snakemake.params
    pools = pool_patterns(patterns, group_libraries(libraries, people, params.arms, params.smallest_cell))
    save(plot_heat_map(pools), snakemake.output.molecules)
    save(plot_lollipops(pools), snakemake.output.lollipops)
    log.info("%d groups of %d libraries", len(pools), sum(number for *_, number in pools.values()))
