"""Call genotypes at masked variants, phase methylation by allele, and flag samples that cannot be right."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    import pandas as pd

    from hpaxis.methylation.counting.alleles import COLUMNS as ALLELES
    from hpaxis.methylation.levels.genotypes import COLUMNS, call_genotypes, identity_table, phased_methylation
    from hpaxis.tables import read_table, write_table

    alleles = {Path(p).stem: read_table(p, text=("ref", "alt", "allele")) for p in snakemake.input.alleles}
    genotypes = {name: call_genotypes(table) for name, table in alleles.items()}
    phased = {name: phased_methylation(table, genotypes[name]) for name, table in alleles.items()}
    for tables, columns, output in ((genotypes, COLUMNS, "genotypes"), (phased, ("library_id", *ALLELES), "phased")):
        whole = [table.assign(library_id=name)[list(columns)] for name, table in sorted(tables.items()) if len(table)]
        write_table(pd.concat(whole) if whole else pd.DataFrame(columns=list(columns)), snakemake.output[output])
    people = {name: tuple(who) for name, who in snakemake.params.people.items()}
    identity = identity_table(genotypes, alleles, people, snakemake.params.confidence)
    write_table(identity, snakemake.output.identity, "methylation_identity")
    log.info("%d libraries, %d of them flagged", len(identity), identity["flags"].notna().sum())
