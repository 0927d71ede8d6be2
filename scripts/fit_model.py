"""Fit one model of the config and write each of its tables."""

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.cohort.columns import read_analysis
    from hpaxis.moderation.lock import read_lock, record_run
    from hpaxis.moderation.run import run_model
    from hpaxis.tables import write_table

    tables = run_model(
        snakemake.wildcards.model,
        read_analysis(snakemake.input.analysis, snakemake.params.columns),
        snakemake.params.entry,
        snakemake.params.settings,
        snakemake.params.arms,
        snakemake.params.seed,
        locked=read_lock(snakemake.params.settings.lock),
        context=snakemake.params.context,
        facts=snakemake.params.facts,
    )
    plan, lock = tables["plan"].iloc[0], snakemake.params.settings.lock
    if lock is not None and not plan["masked"]:
        try:
            record_run(lock, plan["model"], plan["status"], plan["hash"], snakemake.params.facts["study"])
        except OSError as error:
            log.warning("this run is not recorded beside %s: %s", lock, error.strerror)
    for problem in tables["refused"]["problem"]:
        log.error("refused: %s", problem)
    for name, path in snakemake.output.items():
        write_table(tables[name], path, f"moderation_{name}")
        log.info("%s: %d rows", name, len(tables[name]))
