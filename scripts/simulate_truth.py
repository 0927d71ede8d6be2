"""Write the truth behind the demo study beside its reads."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.simulation.study import simulate, write_truth

    folder = Path(snakemake.output.truth[0]).parent
    write_truth(simulate(snakemake.params.config, snakemake.params.folder), folder)
    log.info("written to %s", folder)
