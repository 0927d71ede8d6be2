"""Write each library's counts and levels as tracks for a genome browser."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.methylation.assays.browser import contig_sizes, write_bedmethyl, write_bigwig
    from hpaxis.tables import read_table, whole_file

    paths = {name: Path(snakemake.input.calls) / f"{name}.cpg.tsv" for name in snakemake.params.libraries}
    calls = {name: read_table(path) for name, path in paths.items()}
    sizes = contig_sizes(snakemake.input.get("genome") or None, list(calls.values()))
    outputs = zip(calls.items(), snakemake.output.counts, snakemake.output.levels)
    for (name, table), counts, levels in outputs:
        with whole_file(counts) as part:
            n = write_bedmethyl(table, part)
        with whole_file(levels) as part:
            write_bigwig(table, sizes, part)
        log.info("%s: %d CpGs with counts", name, n)
