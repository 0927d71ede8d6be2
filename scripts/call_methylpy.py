"""Call every amplicon library of the study with methylpy, from the molecules of its BAM."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.methylation.assays.methylpy import call_methylpy
    from hpaxis.methylation.panels.panel import panel_folder, read_panel
    from hpaxis.tables import write_folder

    bams = {Path(path).stem: path for path in snakemake.input.bams}
    tables = {}
    for name, libraries in sorted(snakemake.params.panels.items()):
        chosen = {library: bams[library] for library in libraries}
        calls = call_methylpy(chosen, read_panel(panel_folder(name)), snakemake.params.min_base_quality,
                               turned=snakemake.params.turned)  # fmt: skip
        tables |= calls
        log.info("%s: %d libraries", name, len(calls))
    write_folder(tables, snakemake.output.calls)
