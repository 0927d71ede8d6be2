"""Correct every library by its own conversion and the study's controls; judge it; average indices by participant."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.methylation.assays.coverage import origin_notes
    from hpaxis.methylation.counting.calls import LibraryCalls
    from hpaxis.methylation.levels.finished import read_finished
    from hpaxis.methylation.levels.genotypes import identity_warnings
    from hpaxis.methylation.levels.libraries import estimate_study
    from hpaxis.methylation.levels.read_level import read_level_table
    from hpaxis.methylation.levels.readings import read_pyrosequenced
    from hpaxis.methylation.panels.panel import panel_folder, read_panel
    from hpaxis.methylation.panels.variants import variants_table
    from hpaxis.problems import raise_if_any
    from hpaxis.sheets import read_sheet, sheet_schema
    from hpaxis.tables import read_table, write_folder, write_table

    sheet, problems = read_sheet(snakemake.input.sheet, sheet_schema("libraries"))
    raise_if_any(problems)
    names = ("counts", "patterns", "reads", "conversion", "cycles", "sites")
    paths = {name: {Path(p).stem: p for p in snakemake.input[name]} for name in names}
    tables = {
        library: LibraryCalls(**{name: read_table(files[library]) for name, files in paths.items() if library in files})
        for library in paths["counts"]
    }
    settings, others = snakemake.params.settings, []
    panels = {name: read_panel(panel_folder(name)) for name in sorted(sheet["panel"].unique())}
    if snakemake.input.readings:
        readings = read_table(snakemake.input.readings)
        libraries = sheet[sheet["assay"] == "pyrosequencing"]
        others, instrument = read_pyrosequenced(libraries, panels, readings, settings)
        write_table(instrument, snakemake.output.instrument, "methylation_instrument")
    if snakemake.input.levels:
        levels = read_table(snakemake.input.levels, text=("unit", "cpg_ids"))
        others += read_finished(sheet[sheet["assay"] == "levels"], panels, levels, settings)
    warnings = identity_warnings(read_table(snakemake.input.identity))
    notes = {Path(p).stem: origin_notes(read_table(p)) for p in snakemake.input.origin}
    counted = sheet[sheet["library_id"].isin(tables)]
    found = estimate_study(counted, panels, tables, settings, others, warnings, notes)
    write_folder(found.calls, snakemake.output.calls, ".cpg.tsv", "methylation_calls")
    write_table(found.libraries, snakemake.output.libraries, "methylation_libraries")
    write_table(found.indices, snakemake.output.indices, "methylation_indices")
    write_table(found.limits, snakemake.output.limits, "methylation_limits")
    write_table(found.crosstalk, snakemake.output.crosstalk, "methylation_crosstalk")
    write_table(found.calibration, snakemake.output.calibration, "methylation_calibration")
    write_table(found.standards, snakemake.output.standards, "methylation_standards")
    for row in found.calibration[found.calibration["chosen"] == "yes"].itertuples():
        log.info("%s, %s: calibration %s, %s", row.panel, row.index, row.method, row.reason)
    molecular = found.libraries[found.libraries["library_id"].isin(tables)]
    write_table(
        read_level_table(tables, panels, molecular, settings.depth_fail),
        snakemake.output.read_level,
        "methylation_read_level",
    )
    write_table(found.suspected, snakemake.output.suspected, "methylation_suspected")
    write_table(variants_table(panels, settings), snakemake.output.variants, "methylation_variants")
    for row in found.libraries.itertuples():
        log.info("%s: %s; %s", row.library_id, row.verdict, row.reasons)
