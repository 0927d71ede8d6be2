"""Write the page that answers the study's question."""

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.report.build import page_blocks
    from hpaxis.report.page import render
    from hpaxis.report.read import read_run
    from hpaxis.report.stored import dump_page
    from hpaxis.tables import whole_file

    run = read_run(
        dict(snakemake.input.items()),
        snakemake.params.config,
        snakemake.params.snps,
        snakemake.params.genome,
    )
    arguments, more = page_blocks(run)
    page = render(*arguments, **more)
    with whole_file(snakemake.output.page) as part:
        part.write_text(page, encoding="utf-8")
    with whole_file(snakemake.output.blocks) as part:
        part.write_text(dump_page(*arguments, **more), encoding="utf-8")
    log.info("%d characters, %d models", len(page), len(run.results))
