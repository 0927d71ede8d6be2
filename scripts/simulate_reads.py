"""Simulate the reads of every library of the demo study."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.simulation.study import check_sheets, simulate, write_reads

    folder = Path(snakemake.output.reads[0]).parent
    simulation = simulate(snakemake.params.config, snakemake.params.folder)
    check_sheets(simulation, {"libraries": snakemake.input.sheet})
    write_reads(simulation, folder, snakemake.threads)
    log.info("%d libraries, %d read pairs", len(simulation.libraries), sum(b.pairs for b in simulation.libraries))
