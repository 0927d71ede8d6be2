"""Turn plates' optical densities into concentrations with intervals, and judge each plate."""

from types import SimpleNamespace

from job import logged

with logged(snakemake.log[0]) as log:
    import numpy as np
    import pandas as pd

    from hpaxis.cortisol.inputs import extracts, load_inputs
    from hpaxis.cortisol.kits import ranges_of, read_ranges
    from hpaxis.cortisol.plate import quantify_plate
    from hpaxis.cortisol.quality import check_quality, rerun_table, verdict, with_ranges
    from hpaxis.problems import raise_if_any
    from hpaxis.sheets import empty_sheet, read_sheet, sheet_schema
    from hpaxis.tables import write_table

    # Files are opened by the path that Snakemake gives, which may be a copy on a node's own disk.
    given = snakemake.input
    settings = snakemake.params.settings | {"kits": given.kits, "control_ranges": given.get("ranges") or None}
    sheets, problems = {}, []
    for name, path in (("hair", given.get("hair")), ("saliva_cortisol", given.get("saliva"))):
        schema = sheet_schema(name)
        sheets[name], found = read_sheet(path, schema) if path else (empty_sheet(schema), [])
        problems += found
    raise_if_any(problems)
    # An assay that is validated by its plates alone has neither sheet: samples are names in layouts.
    alone = not (given.get("hair") or given.get("saliva"))
    known = None if alone else extracts(sheets["hair"], sheets["saliva_cortisol"])
    known_ranges = read_ranges(settings.control_ranges)
    for i, (plate, reader, layout_file) in enumerate(zip(snakemake.params.plates, given.readers, given.layouts)):
        row = SimpleNamespace(**plate | {"reader_file": reader, "layout_file": layout_file})
        kit, read, layout = load_inputs(row, known, settings)
        log.info(
            "%s: %s, plate %s, reading %s", row.plate_id, read.reader, " / ".join(read.plates) or "-", read.reading
        )
        run = None if pd.isna(getattr(row, "run", None)) else row.run
        result = quantify_plate(row.plate_id, read, layout, kit, settings, run)
        ranges = ranges_of(row, known_ranges)
        quality = check_quality(result, settings, ranges, plate=row)
        state, reasons = verdict(quality)
        log.info("%s: %s %s", row.plate_id, state, reasons or "")
        band = pd.DataFrame(columns=["concentration", "response", "low", "high"])
        if result.curve is not None:
            band = result.curve.band(np.geomspace(result.curve.lowest, result.curve.highest, 120))
        band.insert(0, "plate_id", row.plate_id)
        tables = {
            "summary": result.summary.assign(verdict=state, reasons=reasons),
            "wells": result.wells,
            "estimates": with_ranges(result.estimates, ranges),
            "quality": quality,
            "rerun": rerun_table(result, settings, state),
            "band": band,
        }
        for part, table in tables.items():
            write_table(table, snakemake.output[part][i])
