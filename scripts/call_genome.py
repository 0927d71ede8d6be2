"""Call one genome library with methylpy: at the panel's CpGs, and at all of the genome if asked for."""

from contextlib import nullcontext
from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.methylation.assays.genome import call_genome
    from hpaxis.methylation.panels.panel import read_panel
    from hpaxis.tables import whole_file, write_table

    panel = read_panel(Path(snakemake.input.panel[0]).parent)
    wanted = snakemake.params.settings.all_cpgs
    with whole_file(snakemake.output.all_cpgs) if wanted else nullcontext() as part:
        calls, summary = call_genome(
            snakemake.input.bam,
            panel,
            snakemake.input.fasta,
            snakemake.wildcards.library,
            snakemake.params.settings,
            snakemake.params.min_base_quality,
            all_cpgs=part,
            threads=snakemake.threads,
            chemistry=snakemake.params.chemistry,
        )
    for name in ("counts", "patterns", "reads", "conversion"):
        write_table(getattr(calls, name), snakemake.output[name], f"methylation_{name}")
    write_table(summary, snakemake.output.summary, "methylation_genome")
    log.info("%d of %d reads passed", summary["passed"].iloc[0], summary["reads_in"].iloc[0])
