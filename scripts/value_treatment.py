"""Cost-effectiveness of the arms, from the analysis table and the study's prices."""

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.cohort.columns import read_analysis
    from hpaxis.figures import save
    from hpaxis.programme.check import read_prices
    from hpaxis.programme.figures import plot_plane
    from hpaxis.programme.worth import value_arms
    from hpaxis.tables import write_table

    settings, arms, seed = (snakemake.params[key] for key in ("settings", "arms", "seed"))
    prices = read_prices(snakemake.input.prices) if snakemake.input.get("prices") else None
    analysis = read_analysis(snakemake.input.analysis, snakemake.params.columns)
    tables = value_arms(analysis, settings, arms, seed, prices)
    for name, table in tables.items():
        write_table(table, snakemake.output[name], f"programme_{name}")
        log.info("%s: %d rows", name, len(table))
    save(plot_plane(tables["plane"], tables["acceptability"]), snakemake.output.figure)
