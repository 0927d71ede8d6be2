"""Draw the interaction of every model under each treatment of the data."""

from job import logged

with logged(snakemake.log[0]):
    from pathlib import Path

    from hpaxis.figures import save
    from hpaxis.moderation.figures import plot_forest
    from hpaxis.report.models import ModelResult, in_order
    from hpaxis.report.moderation import forest_data
    from hpaxis.tables import read_table

    tables = {}
    for path in map(Path, snakemake.input.tables):
        tables.setdefault(path.parent.name, {})[path.stem] = read_table(path, text=("moderator", "contrast"))
    entries = snakemake.params.models
    results = [
        ModelResult(name, entry, tables[name], {}, tuple(tables[name]["refused"]["problem"]))
        for name, entry in entries.items()
    ]
    fitted = [r for r in in_order(results) if not r.refused]
    save(plot_forest(forest_data(fitted), {r.name: r.title for r in fitted}), snakemake.output.forest)
