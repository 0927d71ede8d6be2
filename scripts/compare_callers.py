"""Compare hpaxis' calls with methylpy's, library by library."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.methylation.assays.methylpy import compare_callers, passing_molecules
    from hpaxis.tables import read_folder, read_table, write_table

    counts = {Path(path).stem: read_table(path) for path in snakemake.input.counts}
    passed = {Path(path).stem: passing_molecules(read_table(path)) for path in snakemake.input.reads}
    other = read_folder(snakemake.input.methylpy)
    table = compare_callers(counts, other, passed, snakemake.params.confidence, snakemake.params.sampled)
    write_table(table, snakemake.output.concordance, "methylation_concordance")
    log.info("%d of %d libraries flagged", table["flag"].notna().sum(), len(table))
