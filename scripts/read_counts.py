"""Take one library from a table of counts: a release of this workflow, or counts by CpG."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.methylation.assays.coverage import origin_table
    from hpaxis.methylation.assays.release import read_counts
    from hpaxis.methylation.panels.panel import read_panel
    from hpaxis.tables import write_table

    panel = read_panel(Path(snakemake.input.panel[0]).parent)
    calls = read_counts(snakemake.input.table, snakemake.wildcards.library, panel)
    for name in ("counts", "patterns", "reads", "conversion", "cycles", "sites"):
        write_table(getattr(calls, name), snakemake.output[name], f"methylation_{name}")
    write_table(origin_table(snakemake.wildcards.library, calls.origin), snakemake.output.origin)
    log.info("%s", calls.origin)
    log.info("%d molecules", calls.reads["passed"].iloc[0])
