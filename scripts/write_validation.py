"""Draw the validation of an assay, and write its page."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    import pandas as pd

    from hpaxis.cortisol import figures
    from hpaxis.figures import save
    from hpaxis.report.validation import validation_page
    from hpaxis.tables import read_table, whole_file

    tables = {Path(path).stem: read_table(path) for path in snakemake.input.tables}
    wells, band = (pd.concat(map(read_table, snakemake.input[name]), ignore_index=True) for name in ("wells", "band"))
    drawn = {
        "curves": figures.plot_curves(tables["curves"], band, wells),
        "plates": figures.plot_plates(wells),
        "controls": figures.plot_controls(tables["controls"]),
    }
    for name, figure in drawn.items():
        save(figure, snakemake.output[name])
    texts = {name: Path(snakemake.output[name]).read_text(encoding="utf-8") for name in drawn}
    page = validation_page(snakemake.params.config, tables, texts)
    with whole_file(snakemake.output.page) as part:
        part.write_text(page, encoding="utf-8")
    log.info("%d characters", len(page))
