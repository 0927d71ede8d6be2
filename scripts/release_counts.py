"""Write what can be shared instead of reads: counts by CpG, distinct molecules, and where read pairs went."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.methylation.assays.release import release_tables
    from hpaxis.methylation.counting.calls import LibraryCalls
    from hpaxis.tables import read_table, write_table

    names = ("counts", "patterns", "reads", "conversion", "cycles", "sites")
    paths = {name: {Path(p).stem: p for p in snakemake.input[name]} for name in names}
    tables = {
        library: LibraryCalls(**{name: read_table(files[library]) for name, files in paths.items() if library in files})
        for library in paths["counts"]
    }
    for name, table in release_tables(tables).items():
        write_table(table, snakemake.output[name])
        log.info("%s: %d rows", name, len(table))
