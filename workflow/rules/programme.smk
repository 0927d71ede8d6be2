# What stands around a single study: other studies to pool with, and what the treatment is worth.
pool = study.config.programme.pool
worth = study.config.programme.worth
social = study.config.programme.social_return


rule pool_studies:
    input:
        summaries=(
            [
                f"<results>/moderation/{pool['model']}/summary.tsv",
                *map(here, pool["studies"].values()),
            ]
            if pool
            else []
        ),
    output:
        pooled="<results>/programme/pooled.tsv",
        differences="<results>/programme/differences.tsv",
        forest="<results>/report/figures/programme/forest.svg",
    log:
        "<logs>/pool_studies.log",
    benchmark:
        "<benchmarks>/pool_studies.tsv"
    conda:
        "../envs/hpaxis.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=code_of("pool_studies"),
        name=pool["name"] if pool else None,
        others=list(pool["studies"]) if pool else [],
        across_designs=pool["across_designs"] if pool else False,
        alpha=study.config.moderation.alpha,
    script:
        "../../scripts/pool_studies.py"


rule value_treatment:
    input:
        analysis="<results>/cohort/analysis.tsv",
        prices=here(worth["prices"]) if worth else [],
    output:
        cost_effectiveness="<results>/programme/cost_effectiveness.tsv",
        plane="<results>/programme/plane.tsv",
        acceptability="<results>/programme/acceptability.tsv",
        net_benefit="<results>/programme/net_benefit.tsv",
        figure="<results>/report/figures/programme/plane.svg",
    log:
        "<logs>/value_treatment.log",
    benchmark:
        "<benchmarks>/value_treatment.tsv"
    conda:
        "../envs/hpaxis.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=code_of("value_treatment"),
        columns=study.config.cohort.columns,
        settings=worth,
        arms=study.config.arms,
        seed=study.config.seed,
    script:
        "../../scripts/value_treatment.py"


rule account_social_return:
    input:
        outcomes=here(social["outcomes"]) if social else [],
    output:
        social_return="<results>/programme/social_return.tsv",
        social_ratio="<results>/programme/social_ratio.tsv",
        tornado="<results>/programme/tornado.tsv",
        figure="<results>/report/figures/programme/tornado.svg",
    log:
        "<logs>/account_social_return.log",
    benchmark:
        "<benchmarks>/account_social_return.tsv"
    conda:
        "../envs/hpaxis.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=code_of("account_social_return"),
        settings=social,
        seed=study.config.seed,
    script:
        "../../scripts/account_social_return.py"


asked = [
    *(rules.pool_studies.output if pool else []),
    *(rules.value_treatment.output if worth else []),
    *(rules.account_social_return.output if social else []),
]


rule programme:
    input:
        tables=[path for path in asked if path.endswith(".tsv")],
        figures=[path for path in asked if path.endswith(".svg")],
