"""Pool a model of this study with those of other studies."""

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.figures import save
    from hpaxis.programme.figures import plot_forest
    from hpaxis.programme.pooling import pool_studies
    from hpaxis.tables import read_table, write_table

    names = [snakemake.params.name, *snakemake.params.others]
    summaries = {name: read_table(path) for name, path in zip(names, snakemake.input.summaries, strict=True)}
    pooled, differences = pool_studies(summaries, snakemake.params.alpha, snakemake.params.across_designs)
    write_table(pooled, snakemake.output.pooled, "programme_pooled")
    write_table(differences, snakemake.output.differences, "programme_differences")
    save(plot_forest(pooled), snakemake.output.forest)
    log.info("%d studies", len(summaries))
