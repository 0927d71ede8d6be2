"""Simulate what the plate reader exports for the demo study's hair samples."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.simulation.study import check_sheets, simulate, write_plates

    folder = Path(snakemake.output.plates[0]).parent
    simulation = simulate(snakemake.params.config, snakemake.params.folder)
    check_sheets(simulation, {"hair": snakemake.input.hair, "plates": snakemake.input.plates})
    write_plates(simulation, folder)
    log.info("%d plates", len(simulation.plates))
