"""Write the write-up folder: Methods and Results, tables, figures at journal width, checklists, submission sheets."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.cohort.figures import plot_flow
    from hpaxis.figures import for_journal, save
    from hpaxis.moderation.figures import plot_forest, plot_model
    from hpaxis.report.describe import describe_study
    from hpaxis.report.models import in_order
    from hpaxis.report.moderation import forest_data
    from hpaxis.report.privacy import Cells, few_beside
    from hpaxis.report.read import read_run
    from hpaxis.report.writeup.folder import writeup_files
    from hpaxis.report.writeup.submission import submission_files
    from hpaxis.tables import whole_file

    given, folder = dict(snakemake.input.items()), Path(snakemake.output.folder)
    run = read_run(given, snakemake.params.config, snakemake.params.snps, snakemake.params.genome)
    files = writeup_files(run)
    calls = {Path(p).name.removesuffix(".cpg.tsv"): p for c in given["calls"] for p in Path(c).glob("*.cpg.tsv")}
    # Reads are opened by the path that Snakemake gives, which may be a copy on a node's own disk.
    paths = iter(given["reads"])
    reads = {library: [next(paths) for _ in named] for library, named in snakemake.params.reads.items()}
    sheets = submission_files(run, reads, calls)
    files |= {f"submission/{name}": text.encode("utf-8") for name, text in sheets.items()}
    for name, content in files.items():
        with whole_file(folder / name) as part:
            part.write_bytes(content)

    described = describe_study(run.config, run.attrition, run.analysis, run.results)
    flow = (described["flow"], run.config.arms, described["analysed"], described["received"])
    drawings = {"flow": lambda: plot_flow(*flow)}
    fitted = [r for r in in_order(run.results) if not r.refused]
    if fitted:
        primary, titles = fitted[0], {r.name: r.title for r in fitted}
        people = not few_beside(primary.tables, Cells(run.config.report.smallest_cell))
        drawings["forest"] = lambda: plot_forest(forest_data(fitted), titles)
        for name in ("slopes", "effects"):
            drawings[name] = lambda name=name: plot_model(primary.tables, primary.entry, (name,), people)[name]
    for name, draw in drawings.items():
        for column, width in (("single", 85), ("double", 175)):
            for kind in ("pdf", "png"):
                save(for_journal(draw(), width), folder / "figures" / f"{name}_{column}.{kind}")
    log.info("%d files, %d figures", len(files), len(drawings))
