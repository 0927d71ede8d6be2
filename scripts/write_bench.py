"""Write the bench's page: libraries and plates by their own ids, and what to repeat."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.report.bench import Bench, bench_page
    from hpaxis.tables import read_table, whole_file

    given = dict(snakemake.input.items())
    cortisol = {Path(path).stem: read_table(path) for path in given["cortisol"]}
    cortisol = cortisol if "curves" in cortisol else None
    libraries = read_table(given["libraries"]) if given["libraries"] else None
    page = bench_page(Bench(snakemake.params.config, libraries, cortisol))
    with whole_file(snakemake.output.page) as part:
        part.write_text(page, encoding="utf-8")
    log.info("%d characters", len(page))
