"""Join methylation, cortisol and participants, and account for every row."""

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.cohort import build_cohort
    from hpaxis.moderation.lock import masked_table
    from hpaxis.problems import raise_if_any
    from hpaxis.sheets import empty_sheet, participants_schema, read_sheet, sheet_schema
    from hpaxis.tables import read_table, write_table

    sheets, problems = {}, []
    for name in ("participants", "libraries", "hair", "plates", "saliva_cortisol"):
        path = snakemake.input.get(name)
        schema = participants_schema(snakemake.params.settings) if name == "participants" else sheet_schema(name)
        sheets[name], found = read_sheet(path, schema) if path else (empty_sheet(schema), [])
        problems += found
    raise_if_any(problems)

    tables = {
        name: read_table(snakemake.input[name]) if snakemake.input.get(name) else None
        for name in ("quality", "indices", "samples", "cell_mix", "tubes", "series", "trajectories")
    }
    cohort = build_cohort(
        **sheets,
        **tables,
        settings=snakemake.params.settings,
        arms=snakemake.params.arms,
    )
    for name in ("analysis", "attrition", "join_audit"):
        table = getattr(cohort, name)
        if name == "analysis" and snakemake.params.mask is not None:
            table = masked_table(table, snakemake.params.mask)
            log.warning("no lock yet: arms in analysis.tsv are shuffled, with all columns that tell them")
        write_table(table, snakemake.output[name])
        log.info("%s: %d rows", name, len(table))
