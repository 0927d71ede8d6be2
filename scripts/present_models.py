"""Draw the figures of every model and lay its table out for a paper, as TSV, HTML, LaTeX and Word."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.figures import save
    from hpaxis.moderation.apa import apa_files
    from hpaxis.moderation.figures import plot_model
    from hpaxis.report.privacy import Cells, few_beside
    from hpaxis.tables import read_table, whole_file

    tables, cells = {}, Cells(snakemake.params.smallest_cell)
    for path in map(Path, snakemake.input.tables):
        tables.setdefault(path.parent.name, {})[path.stem] = read_table(path, text=("moderator", "contrast"))
    for i, (name, entry) in enumerate(snakemake.params.models.items()):
        for kind, content in apa_files(tables[name], entry["title"] or name).items():
            with whole_file(snakemake.output[f"apa_{kind}"][i]) as part:
                part.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        for figure, drawn in plot_model(tables[name], entry, people=not few_beside(tables[name], cells)).items():
            save(drawn, snakemake.output[figure][i])
        log.info("%s", name)
