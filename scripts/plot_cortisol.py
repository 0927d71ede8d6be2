"""Draw the cortisol stage: curves, plates, controls and hair samples by arm."""

from job import logged

with logged(snakemake.log[0]):
    from hpaxis.cortisol import figures
    from hpaxis.figures import save
    from hpaxis.tables import read_table

    tables = {name: read_table(path) for name, path in snakemake.input.items()}
    arms = tables["measurements"][["hair_id", "arm"]].drop_duplicates()
    samples = tables["samples"].merge(arms, on="hair_id", how="left")
    # A study whose concentrations were all finished elsewhere has no curve, no well and no control.
    if "curves" in dict(snakemake.output.items()):
        save(figures.plot_curves(tables["curves"], tables["band"], tables["wells"]), snakemake.output.curves)
        save(figures.plot_plates(tables["wells"]), snakemake.output.plates)
        save(figures.plot_controls(tables["controls"]), snakemake.output.controls)
    if "samples" in dict(snakemake.output.items()):
        save(figures.plot_distribution(samples, snakemake.params.arms), snakemake.output.samples)
