"""Compare hpaxis' calls with methylpy's, library by library."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.methylation.second_caller import compare_callers
    from hpaxis.tables import read_table, write_table

    counts, methylpy = (
        {Path(path).stem: read_table(path) for path in paths}
        for paths in (snakemake.input.counts, snakemake.input.methylpy)
    )
    table = compare_callers(counts, methylpy, snakemake.params.confidence)
    write_table(table, snakemake.output.concordance)
    log.info("%d of %d libraries flagged", table["flag"].notna().sum(), len(table))
