"""Build the aligner's index of the genome."""

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.methylation.assays.aligner import index_genome

    index_genome(snakemake.input.fasta, snakemake.output.index)
    log.info("index of %s", snakemake.input.fasta)
