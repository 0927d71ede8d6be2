"""Take the checksum of every input file, by its role."""

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.report.provenance import checksum_table
    from hpaxis.tables import write_table

    roles = {role: [files] if isinstance(files, str) else files for role, files in snakemake.input.items()}
    del roles["code"]
    table = checksum_table(((role, path) for role, paths in roles.items() for path in paths), snakemake.params.code)
    write_table(table, snakemake.output.checksums)
    log.info("%d files, %d bytes", len(table), table["bytes"].sum())
