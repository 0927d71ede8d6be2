"""Bring all cortisol plates together: hair samples in pg/mg, controls over plates, and what to run again."""

from job import logged

with logged(snakemake.log[0]) as log:
    import pandas as pd

    from hpaxis.cortisol.finished import read_finished, read_other_analytes
    from hpaxis.cortisol.kits import kit_named
    from hpaxis.cortisol.samples import MEASUREMENT_COLUMNS, collect, no_plates
    from hpaxis.problems import raise_if_any
    from hpaxis.sheets import empty_sheet, participants_schema, read_sheet, sheet_schema
    from hpaxis.tables import read_table, write_table

    settings, parts = snakemake.params.settings, ("summary", "wells", "estimates", "quality", "rerun", "band")
    sheets, problems = {}, []
    for name in ("hair", "participants", "saliva_cortisol"):
        schema = participants_schema(snakemake.params.cohort) if name == "participants" else sheet_schema(name)
        path = snakemake.input.get(name)
        sheets[name], found = read_sheet(path, schema) if path else (empty_sheet(schema), [])
        problems += found
    raise_if_any(problems)
    tables = {part: [read_table(path) for path in snakemake.input.get(part, [])] for part in parts}
    plates = {part: pd.concat(found, ignore_index=True) for part, found in tables.items() if found} or no_plates()
    finished = [
        read_finished(path, kit_named(kit, settings.kits), plate_id, sheets["hair"], settings)
        for path, (plate_id, kit) in zip(snakemake.input.finished, snakemake.params.finished)
    ]
    finished = pd.concat(finished) if finished else pd.DataFrame(columns=list(MEASUREMENT_COLUMNS))
    others = [
        read_other_analytes(path, kit_named(kit, settings.kits), plate_id)
        for path, (plate_id, kit) in zip(snakemake.input.finished, snakemake.params.finished)
    ]
    others = pd.concat(others, ignore_index=True) if others else None
    saliva = sheets.pop("saliva_cortisol")
    more = {"arms": snakemake.params.arms, "settings": settings, "others": others, "saliva": saliva}
    result = collect(plates, finished, **sheets, **more)
    for name, path in snakemake.output.items():
        table = plates["band"] if name == "band" else getattr(result, name)
        write_table(table, path, f"cortisol_{name}")
        log.info("%s: %d rows", name, len(table))
