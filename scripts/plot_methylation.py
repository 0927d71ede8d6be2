"""Draw the quality of the libraries, the level of each CpG by arm, and the agreement of both callers."""

from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    import pandas as pd

    from hpaxis.figures import save
    from hpaxis.labels import population_label
    from hpaxis.methylation.figures.calibration import plot_calibration
    from hpaxis.methylation.figures.cycles import plot_cycles
    from hpaxis.methylation.figures.gene import cpg_effects, plot_gene
    from hpaxis.methylation.figures.levels import (
        cpg_levels,
        cpg_persons,
        plot_concordance,
        plot_conversion_depth,
        plot_cpg_levels,
    )
    from hpaxis.methylation.panels.panel import read_panel
    from hpaxis.methylation.panels.places import amplicon_maps, read_features
    from hpaxis.tables import read_each, read_folder, read_table, write_table

    arms = snakemake.params.arms
    libraries = read_table(snakemake.input.libraries)
    people = read_table(snakemake.input.analysis)[["participant_id", "role", "arm"]]
    good = libraries[(libraries["kind"] == "study") & (libraries["verdict"] != "fail")]
    good = good[["library_id", "participant_id"]].merge(people, on="participant_id")
    calls = read_folder(snakemake.input.calls, ".cpg.tsv").values()
    calls = pd.concat([table[["library_id", "cpg_id", "beta"]] for table in calls])
    levels = cpg_levels(calls, good)
    log.info("%d libraries of %d people draw the CpG levels", len(good), good["participant_id"].nunique())

    effects = cpg_effects(cpg_persons(calls, good), arms)
    write_table(levels, snakemake.output.levels)
    write_table(effects, snakemake.output.effects)
    save(plot_conversion_depth(libraries, snakemake.params.gates), snakemake.output.conversion)
    titles = {population: population_label(population).capitalize() for population in levels["population"].unique()}
    save(plot_cpg_levels(levels, arms, titles), snakemake.output.cpgs)
    folders = sorted({Path(path).parent for path in snakemake.input.panels})
    maps = [amplicon for path in folders for amplicon in amplicon_maps(read_panel(path), read_features(path))]
    save(plot_gene(levels, effects, maps, arms, titles), snakemake.output.gene)
    save(plot_concordance(read_table(snakemake.input.concordance)), snakemake.output.concordance)
    tables = (read_table(snakemake.input[name]) for name in ("standards", "calibration"))
    save(plot_calibration(*tables, snakemake.params.confidence), snakemake.output.calibration)
    own = set(libraries.loc[libraries["kind"] == "study", "library_id"])
    save(plot_cycles(read_each(p for p in snakemake.input.cycles if Path(p).stem in own)), snakemake.output.cycles)
