# Only a study with a section `simulation` in its config has anything to do here.
rule simulate_reads:
    input:
        sheet=SHEETS["libraries"],
        panel=panel_files(study.library_ids()[0]) if simulated else [],
    output:
        reads=expand(
            "<results>/simulation/reads/{library}_R{mate}.fastq.gz",
            library=study.library_ids() if simulated else [],
            mate=[1, 2],
        ),
    log:
        "<logs>/simulate_reads.log",
    benchmark:
        "<benchmarks>/simulate_reads.tsv"
    conda:
        "../envs/hpaxis.yaml"
    threads: 2
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        code=code_of("simulate_reads"),
        config=simulated,
        folder=made_by_workflow,
    script:
        "../../scripts/simulate_reads.py"


rule simulate_plates:
    input:
        hair=SHEETS["hair"],
        plates=SHEETS["plates"],
    output:
        plates=expand(
            "<results>/simulation/plates/{plate}{suffix}",
            plate=study.plate_ids() if simulated else [],
            suffix=[".txt", "_layout.tsv"],
        ),
    log:
        "<logs>/simulate_plates.log",
    benchmark:
        "<benchmarks>/simulate_plates.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("simulate_plates"),
        config=simulated,
        folder=made_by_workflow,
    script:
        "../../scripts/simulate_plates.py"


# Written beside the reads and read by nothing in this workflow.
rule simulate_truth:
    output:
        truth=expand(
            "<results>/simulation/truth/{table}.tsv",
            table=TRUTH if simulated else [],
        ),
    log:
        "<logs>/simulate_truth.log",
    benchmark:
        "<benchmarks>/simulate_truth.tsv"
    conda:
        "../envs/hpaxis.yaml"
    params:
        code=code_of("simulate_truth"),
        config=simulated,
        folder=made_by_workflow,
    script:
        "../../scripts/simulate_truth.py"


rule simulation:
    input:
        rules.simulate_reads.output,
        rules.simulate_plates.output,
        rules.simulate_truth.output,
