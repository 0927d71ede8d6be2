"""Take the checksum of every input file, by its role."""

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.report.provenance import checksum_table
    from hpaxis.tables import write_table

    given, checkout = snakemake.input, snakemake.params.checkout
    places = {
        name: path for role in snakemake.params.names for name, path in zip(snakemake.params.names[role], given[role])
    }
    named = [(role, name) for role, names in snakemake.params.names.items() for name in names]
    table = checksum_table(named, checkout, places)
    write_table(table, snakemake.output.checksums)
    log.info("%d files, %d bytes", len(table), table["bytes"].sum())
