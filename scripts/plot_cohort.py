"""Draw the flow of participants by arm, and the distributions of methylation and cortisol."""

from job import logged

with logged(snakemake.log[0]):
    from hpaxis.cohort.figures import measures, plot_distributions, plot_flow
    from hpaxis.figures import save
    from hpaxis.report.privacy import shown_flow
    from hpaxis.tables import read_table

    arms = snakemake.params.arms
    analysis = read_table(snakemake.input.analysis)
    flow = shown_flow(read_table(snakemake.input.attrition), snakemake.params.smallest_cell)
    save(plot_flow(flow, arms), snakemake.output.flow)
    if "distributions" in dict(snakemake.output.items()):
        panels = measures(analysis, snakemake.params.index)
        save(plot_distributions(analysis, arms, panels), snakemake.output.distributions)
