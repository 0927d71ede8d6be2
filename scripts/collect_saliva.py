"""Bring tubes of saliva cortisol together: concentrations, areas under the curve, the awakening response."""

from job import logged

with logged(snakemake.log[0]) as log:
    import pandas as pd

    from hpaxis.cortisol.samples import no_plates
    from hpaxis.cortisol.series import collect_series
    from hpaxis.problems import raise_if_any
    from hpaxis.sheets import participants_schema, read_sheet, sheet_schema
    from hpaxis.tables import read_table, write_table

    participants, problems = read_sheet(snakemake.input.participants, participants_schema(snakemake.params.cohort))
    sheet, more = read_sheet(snakemake.input.saliva, sheet_schema("saliva_cortisol"))
    raise_if_any([*problems, *more])
    parts = ("summary", "estimates", "quality")
    found = {part: [read_table(path) for path in snakemake.input.get(part, [])] for part in parts}
    plates = {part: pd.concat(tables, ignore_index=True) for part, tables in found.items() if tables} or no_plates()
    result = collect_series(plates, sheet, participants, snakemake.params.arms, snakemake.params.settings)
    for name, path in snakemake.output.items():
        write_table(result[name], path, f"cortisol_{name}")
        log.info("%s: %d rows", name, len(result[name]))
