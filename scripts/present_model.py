"""Draw the figures of one model and lay its table out for a paper, as TSV, HTML, LaTeX and Word."""

from job import logged

with logged(snakemake.log[0]):
    from hpaxis.figures import save
    from hpaxis.moderation.apa import apa_files
    from hpaxis.moderation.figures import plot_model
    from hpaxis.tables import read_table, whole_file

    given = {name: path for name, path in snakemake.input.items() if name != "code"}
    tables = {name: read_table(path, text=("moderator", "contrast")) for name, path in given.items()}
    entry, name = snakemake.params.entry, snakemake.wildcards.model
    for kind, content in apa_files(tables, entry["title"] or name).items():
        with whole_file(snakemake.output[f"apa_{kind}"]) as part:
            part.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    for figure, drawn in plot_model(tables, entry).items():
        save(drawn, snakemake.output[figure])
