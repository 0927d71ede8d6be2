"""Align one genome library that comes as FASTQ."""

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.methylation.aligner import align_reads

    align_reads(snakemake.input.reads, snakemake.input.index, snakemake.output.bam)
    log.info("%d files", len(snakemake.input.reads))
