"""Pack what a reviewer may see into one archive."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.report.bundle import bundle_files, write_bundle

    results = Path(snakemake.output[0]).parents[1]

    def below(folder, paths):
        """Paths by their name below a folder."""
        return {Path(path).relative_to(folder).as_posix(): path for path in paths}

    files = bundle_files(
        snakemake.params.config,
        below(results, snakemake.input.tables),
        below(results / "report", snakemake.input.report),
        {Path(path).stem: path for path in snakemake.input.counts},
        participants=snakemake.wildcards.kind == "participants",
    )
    write_bundle(snakemake.output[0], files)
    log.info("%d files", len(files))
