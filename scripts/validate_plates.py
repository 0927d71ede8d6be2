"""Bring plates together as the validation of an assay, without participants."""

from job import logged

with logged(snakemake.log[0]) as log:
    import pandas as pd

    from hpaxis.cortisol.validation import validate
    from hpaxis.tables import read_table, write_table

    parts = ("summary", "wells", "estimates", "quality", "rerun")
    plates = {part: pd.concat(map(read_table, snakemake.input[part]), ignore_index=True) for part in parts}
    result = validate(plates, snakemake.params.settings)
    for name, path in snakemake.output.items():
        write_table(result[name], path)
        log.info("%s: %d rows", name, len(result[name]))
