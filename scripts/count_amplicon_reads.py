"""Count methylated and unmethylated molecules at each CpG of one amplicon library."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.methylation.counting.bam import BamWriter
    from hpaxis.methylation.counting.calls import ReadFilters, count_library
    from hpaxis.methylation.counting.sample import MoleculeSample
    from hpaxis.methylation.panels.panel import read_panel
    from hpaxis.tables import write_table

    library = snakemake.wildcards.library
    panel = read_panel(Path(snakemake.input.panel[0]).parent)
    size, sample = snakemake.params.sampled, None
    if size is not None:
        sample = MoleculeSample(size, snakemake.params.seed, library)
    with BamWriter(snakemake.output.bam, panel.references, library, sample) as bam:
        filters, umi = ReadFilters(**snakemake.params.filters), snakemake.params.umi
        sink = bam.add_families if umi else bam.add
        calls = count_library(
            snakemake.input.reads, panel, library, filters, sink, umi=umi, lanes=snakemake.params.lanes
        )
    for name in ("counts", "patterns", "reads", "conversion", "cycles", "alleles", "sites", "lanes"):
        write_table(getattr(calls, name), snakemake.output[name])
    if sample:
        write_table(sample.write(snakemake.output.sample_bam, panel), snakemake.output.sample_counts)
        log.info("%d molecules sampled for the second caller", min(size, sample.seen))
    log.info("%d of %d read pairs passed", calls.reads["passed"].iloc[0], calls.reads["pairs_in"].iloc[0])
