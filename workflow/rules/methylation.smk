rule count_amplicon_reads:
    input:
        reads=lambda wildcards: study.fastq(wildcards.library),
        panel=lambda wildcards: study.panel_files(wildcards.library),
        library=library("methylation"),
    output:
        counts="<results>/methylation/counts/{library}.tsv",
        patterns="<results>/methylation/patterns/{library}.tsv",
        reads="<results>/methylation/reads/{library}.tsv",
        bam="<results>/methylation/bam/{library}.bam",
        index="<results>/methylation/bam/{library}.bam.bai",
    log:
        "<logs>/count_amplicon_reads/{library}.log",
    benchmark:
        "<benchmarks>/count_amplicon_reads/{library}.tsv"
    conda:
        "../envs/hpaxis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        filters={
            key: study.config["methylation"][key]
            for key in ("min_base_quality", "min_usable", "min_identity", "max_unconverted")
        },
    script:
        "../../scripts/count_amplicon_reads.py"


rule estimate_methylation:
    input:
        sheet=study.config["sheets"]["libraries"],
        counts=expand("<results>/methylation/counts/{library}.tsv", library=study.library_ids(assay="amplicon")),
        patterns=expand("<results>/methylation/patterns/{library}.tsv", library=study.library_ids(assay="amplicon")),
        reads=expand("<results>/methylation/reads/{library}.tsv", library=study.library_ids(assay="amplicon")),
        panels=sorted({path for library in study.library_ids() for path in study.panel_files(library)}),
        library=library("methylation"),
    output:
        calls=expand("<results>/methylation/calls/{library}.cpg.tsv", library=study.library_ids(assay="amplicon")),
        libraries="<results>/methylation/libraries.tsv",
        indices="<results>/methylation/indices.tsv",
    log:
        "<logs>/estimate_methylation.log",
    benchmark:
        "<benchmarks>/estimate_methylation.tsv"
    conda:
        "../envs/hpaxis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        settings=study.config["methylation"],
    script:
        "../../scripts/estimate_methylation.py"


rule methylation:
    input:
        rules.estimate_methylation.output,
