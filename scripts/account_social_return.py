"""The social-return account: present value by outcome, the ratio, and what it rests on."""

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.figures import save
    from hpaxis.moderation.seeds import generator
    from hpaxis.programme.check import read_outcomes
    from hpaxis.programme.figures import plot_tornado
    from hpaxis.programme.worth import social_return
    from hpaxis.tables import write_table

    settings = snakemake.params.settings
    rng = generator(snakemake.params.seed, "social return")
    outcomes = read_outcomes(snakemake.input.outcomes)
    table, ratio, tornado = social_return(outcomes, settings.investment, settings.discount, settings.draws, rng)
    write_table(table, snakemake.output.social_return, "programme_social_return")
    write_table(ratio, snakemake.output.social_ratio, "programme_social_ratio")
    write_table(tornado, snakemake.output.tornado, "programme_tornado")
    save(plot_tornado(tornado, float(ratio["ratio"].iloc[0])), snakemake.output.figure)
    log.info("%d outcomes", len(table))
