"""Describe who was in the study: flow, Table 1, correlations, what is missing, and who each model analyses."""

from job import logged

with logged(snakemake.log[0]):
    from hpaxis.report.describe import describe_study
    from hpaxis.report.read import read_results
    from hpaxis.tables import read_table, write_table

    config = snakemake.params.config
    tables = describe_study(
        config,
        read_table(snakemake.input.attrition),
        read_table(snakemake.input.analysis),
        read_results(snakemake.input.models, config.models),
    )
    for name, path in snakemake.output.items():
        write_table(tables[name], path)
