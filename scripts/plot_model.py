"""Draw the figures of one model."""

from job import logged

with logged(snakemake.log[0]):
    from hpaxis.figures import save
    from hpaxis.moderation.figures import plot_model
    from hpaxis.tables import read_table

    text = ("moderator", "contrast")
    tables = {name: read_table(path, text) for name, path in snakemake.input.items() if name != "library"}
    drawn = plot_model(tables, snakemake.params.entry)
    for name, path in snakemake.output.items():
        save(drawn[name], path)
