"""Draw the flow of participants by arm, and the distributions of methylation and cortisol."""

from job import logged

with logged(snakemake.log[0]):
    from hpaxis.cohort.figures import measures, plot_distributions, plot_flow
    from hpaxis.figures import save
    from hpaxis.tables import read_table

    arms = snakemake.params.arms
    analysis = read_table(snakemake.input.analysis)
    flow, analysed, received = (
        read_table(snakemake.input[name], text=("stays", "left")) for name in ("flow", "analysed", "received")
    )
    save(plot_flow(flow, arms, analysed, received), snakemake.output.flow)
    if "distributions" in dict(snakemake.output.items()):
        panels = measures(analysis, snakemake.params.index)
        save(plot_distributions(analysis, arms, panels, snakemake.params.smallest_cell), snakemake.output.distributions)
