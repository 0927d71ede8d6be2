"""Trim and align one genome library that comes as FASTQ."""

import tempfile

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.methylation.assays.aligner import align_reads, trim_reads
    from hpaxis.tables import write_table

    with tempfile.TemporaryDirectory(prefix="hpaxis-trim.") as folder:
        reads, told = trim_reads(snakemake.input.reads, snakemake.params.adapter, folder, snakemake.params.interleaved)
        align_reads(reads, snakemake.input.index, snakemake.output.bam)
    write_table(told, snakemake.output.trimmed, "methylation_trimmed")
    log.info(
        "%d files; %d of %d reads or pairs too short once trimmed", len(reads), *told.loc[0, ["too_short", "reads_in"]]
    )
