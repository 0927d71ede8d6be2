# The second caller is slow: it sees a sample, and hpaxis' counts of the sample stand beside it.
second_caller_molecules = study.config.methylation.second_caller_molecules
seen_twice = "bam" if second_caller_molecules == "all" else "sample"


# What counting writes for each library.
COUNTED = {
    name: f"<results>/methylation/{name}/{{library}}.tsv"
    for name in ("counts", "patterns", "reads", "conversion", "cycles", "sites", "lanes")
}
COUNTED["alleles"] = "<results>/methylation/private/alleles/{library}.tsv"
COUNTED["bam"] = "<results>/methylation/bam/{library}.bam"
COUNTED["index"] = "<results>/methylation/bam/{library}.bam.bai"
if seen_twice == "sample":
    COUNTED["sample_bam"] = "<results>/methylation/sample/{library}.bam"
    COUNTED["sample_index"] = "<results>/methylation/sample/{library}.bam.bai"
    COUNTED["sample_counts"] = "<results>/methylation/sample/{library}.tsv"
COUNTING = {
    "filters": {
        key: study.config.methylation[key]
        for key in ("min_base_quality", "min_usable", "min_identity", "max_unconverted")
    },
    "sampled": None if seen_twice == "bam" else second_caller_molecules,
    "seed": study.config.seed,
}
# Small libraries are counted by one job, a batch; large ones have jobs of their own.
small_batches = study.batches(made_by_workflow)


rule count_amplicon_reads:
    input:
        reads=lambda wildcards: study.fastq(wildcards.library),
        panel=lambda wildcards: panel_files(wildcards.library),
    output:
        **COUNTED,
    log:
        "<logs>/count_amplicon_reads/{library}.log",
    benchmark:
        "<benchmarks>/count_amplicon_reads/{library}.tsv"
    wildcard_constraints:
        library=one_of(set(study.library_ids(assay="amplicon")).difference(*small_batches.values())),
    conda:
        "../envs/hpaxis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        **COUNTING,
        code=code_of("count_amplicon_reads"),
        libraries=lambda wildcards: [study.counting(wildcards.library)],
        content=lambda wildcards: content(*study.fastq(wildcards.library)),
    script:
        "../../scripts/count_amplicon_reads.py"


for batch, names in small_batches.items():

    rule:
        name:
            f"count_amplicon_reads_batch_{batch}"
        input:
            reads=[path for name in names for path in study.fastq(name)],
            panel=panel_files(names[0]),
        output:
            **{name: expand(path, library=names) for name, path in COUNTED.items()},
        log:
            f"<logs>/count_amplicon_reads/batch_{batch}.log",
        benchmark:
            f"<benchmarks>/count_amplicon_reads/batch_{batch}.tsv"
        conda:
            "../envs/hpaxis.yaml"
        threads: 1
        resources:
            mem_mb=growing(1000),
            runtime=growing(60),
        params:
            **COUNTING,
            code=code_of("count_amplicon_reads"),
            libraries=[study.counting(name) for name in names],
            content=content(*(path for name in names for path in study.fastq(name))),
        script:
            "../../scripts/count_amplicon_reads.py"


rule read_counts:
    input:
        table=lambda wildcards: study.counts(wildcards.library),
        panel=lambda wildcards: panel_files(wildcards.library),
    output:
        counts="<results>/methylation/counts/{library}.tsv",
        patterns="<results>/methylation/patterns/{library}.tsv",
        reads="<results>/methylation/reads/{library}.tsv",
        conversion="<results>/methylation/conversion/{library}.tsv",
        cycles="<results>/methylation/cycles/{library}.tsv",
        sites="<results>/methylation/sites/{library}.tsv",
        origin="<results>/methylation/origin/{library}.tsv",
    log:
        "<logs>/read_counts/{library}.log",
    benchmark:
        "<benchmarks>/read_counts/{library}.tsv"
    wildcard_constraints:
        library=one_of(study.library_ids(assay="counts")),
    conda:
        "../envs/hpaxis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=code_of("read_counts"),
        content=lambda wildcards: content(study.counts(wildcards.library)),
    script:
        "../../scripts/read_counts.py"


rule index_genome:
    input:
        fasta=here(study.config.methylation.genome.fasta),
    output:
        index=directory("<results>/methylation/genome_index"),
    log:
        "<logs>/index_genome.log",
    benchmark:
        "<benchmarks>/index_genome.tsv"
    conda:
        "../envs/hpaxis.yaml"
    threads: 1
    resources:
        mem_mb=growing(16000),
        runtime=growing(600),
    params:
        code=code_of("index_genome"),
    script:
        "../../scripts/index_genome.py"


rule align_genome_reads:
    input:
        reads=lambda wildcards: study.fastq(wildcards.library),
        index=rules.index_genome.output.index,
    output:
        bam=temp("<results>/methylation/aligned/{library}.bam"),
        trimmed="<results>/methylation/aligned/{library}.tsv",
    log:
        "<logs>/align_genome_reads/{library}.log",
    benchmark:
        "<benchmarks>/align_genome_reads/{library}.tsv"
    wildcard_constraints:
        library=one_of(unaligned),
    conda:
        "../envs/hpaxis.yaml"
    threads: 4
    resources:
        mem_mb=growing(16000),
        runtime=growing(1440),
    params:
        code=code_of("align_genome_reads"),
        adapter=study.config.methylation.genome.adapter,
        interleaved=lambda wildcards: study.library(wildcards.library)["interleaved"] == "yes",
    script:
        "../../scripts/align_genome_reads.py"


rule call_genome:
    input:
        bam=lambda wildcards: (
            rules.align_genome_reads.output.bam
            if wildcards.library in unaligned
            else study.library(wildcards.library)["bam"]
        ),
        fasta=here(study.config.methylation.genome.fasta),
        panel=lambda wildcards: panel_files(wildcards.library),
        shims=[shipped("scripts", "shims", name) for name in ("samtools", "samtools.py")],
    output:
        **(
            {"all_cpgs": "<results>/methylation/all_cpgs/{library}.tsv.gz"}
            if study.config.methylation.genome.all_cpgs
            else {}
        ),
        counts="<results>/methylation/counts/{library}.tsv",
        patterns="<results>/methylation/patterns/{library}.tsv",
        reads="<results>/methylation/reads/{library}.tsv",
        conversion="<results>/methylation/conversion/{library}.tsv",
        summary="<results>/methylation/genome/{library}.tsv",
    log:
        "<logs>/call_genome/{library}.log",
    benchmark:
        "<benchmarks>/call_genome/{library}.tsv"
    wildcard_constraints:
        library=one_of(sequenced),
    conda:
        "../envs/hpaxis.yaml"
    threads: 2
    resources:
        mem_mb=growing(8000),
        runtime=growing(1440),
    params:
        code=code_of("call_genome"),
        settings=settings_of("call_genome", study.config.methylation.genome),
        chemistry=lambda wildcards: study.library(wildcards.library)["chemistry"],
        content=lambda wildcards: (
            content(*study.fastq(wildcards.library))
            if wildcards.library in unaligned
            else content(study.library(wildcards.library)["bam"])
        ),
        min_base_quality=study.config.methylation.min_base_quality,
    script:
        "../../scripts/call_genome.py"


# Exports are small and hold many libraries, whose replicates tell the instrument's error: one job reads them all.
rule read_pyrosequencing:
    input:
        sheet=SHEETS["libraries"],
        exports=study.exports(pyrosequenced),
        positions=here(study.config.methylation.pyrosequencing.positions),
        panels=panel_files(*pyrosequenced),
    output:
        readings="<results>/methylation/release/pyrosequencing.tsv",
        rows="<results>/methylation/pyrosequencing_rows.tsv",
    log:
        "<logs>/read_pyrosequencing.log",
    benchmark:
        "<benchmarks>/read_pyrosequencing.tsv"
    conda:
        "../envs/hpaxis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=code_of("read_pyrosequencing"),
        settings=settings_of("read_pyrosequencing", study.config.methylation.pyrosequencing),
        exports=study.exports(pyrosequenced),
        content=content(
            study.config.sheets.libraries,
            study.config.methylation.pyrosequencing.positions,
            *study.exports(pyrosequenced),
        ),
    script:
        "../../scripts/read_pyrosequencing.py"


rule read_levels:
    input:
        sheet=SHEETS["libraries"],
        levels=study.files("levels", finished_levels),
        panels=panel_files(*finished_levels),
    output:
        levels="<results>/methylation/release/levels.tsv",
    log:
        "<logs>/read_levels.log",
    benchmark:
        "<benchmarks>/read_levels.tsv"
    conda:
        "../envs/hpaxis.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=code_of("read_levels"),
        settings=settings_of("read_levels", study.config.methylation.levels),
        levels=study.files("levels", finished_levels),
    script:
        "../../scripts/read_levels.py"


# What can be shared instead of reads; a study whose libraries are of assay `counts` begins from it.
rule release_counts:
    input:
        counts=of_libraries("<results>/methylation/counts/{library}.tsv", counted),
        patterns=of_libraries("<results>/methylation/patterns/{library}.tsv", counted),
        reads=of_libraries("<results>/methylation/reads/{library}.tsv", counted),
        conversion=of_libraries("<results>/methylation/conversion/{library}.tsv", counted),
        cycles=of_libraries("<results>/methylation/cycles/{library}.tsv", by_cycle),
        sites=of_libraries("<results>/methylation/sites/{library}.tsv", by_cycle),
    output:
        cpgs="<results>/methylation/release/cpgs.tsv",
        molecules="<results>/methylation/release/molecules.tsv",
        conversion="<results>/methylation/release/conversion.tsv",
        cycles="<results>/methylation/release/cycles.tsv",
        sites="<results>/methylation/release/sites.tsv",
        reads="<results>/methylation/release/reads.tsv",
    log:
        "<logs>/release_counts.log",
    benchmark:
        "<benchmarks>/release_counts.tsv"
    conda:
        "../envs/hpaxis.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=code_of("release_counts"),
    script:
        "../../scripts/release_counts.py"


# Genotypes re-identify: they stay in the folder private, and only counts and flags leave it.
rule call_genotypes:
    input:
        alleles=of_libraries("<results>/methylation/private/alleles/{library}.tsv", study.library_ids(assay="amplicon")),
    output:
        genotypes="<results>/methylation/private/genotypes.tsv",
        phased="<results>/methylation/private/phased.tsv",
        identity="<results>/methylation/identity.tsv",
    log:
        "<logs>/call_genotypes.log",
    benchmark:
        "<benchmarks>/call_genotypes.tsv"
    conda:
        "../envs/hpaxis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=code_of("call_genotypes"),
        people=study.people_of_libraries(),
        confidence=study.config.methylation.confidence,
    script:
        "../../scripts/call_genotypes.py"


rule estimate_methylation:
    input:
        sheet=SHEETS["libraries"],
        counts=of_libraries("<results>/methylation/counts/{library}.tsv", counted),
        patterns=of_libraries("<results>/methylation/patterns/{library}.tsv", counted),
        reads=of_libraries("<results>/methylation/reads/{library}.tsv", counted),
        conversion=of_libraries("<results>/methylation/conversion/{library}.tsv", counted),
        cycles=of_libraries("<results>/methylation/cycles/{library}.tsv", by_cycle),
        sites=of_libraries("<results>/methylation/sites/{library}.tsv", by_cycle),
        origin=of_libraries("<results>/methylation/origin/{library}.tsv", study.library_ids(assay="counts")),
        readings=rules.read_pyrosequencing.output.readings if pyrosequenced else [],
        levels=rules.read_levels.output.levels if finished_levels else [],
        identity=rules.call_genotypes.output.identity,
        panels=panel_files(*study.library_ids()),
    output:
        **({"instrument": "<results>/methylation/instrument.tsv"} if pyrosequenced else {}),
        # A folder: of each output Snakemake keeps what all inputs were, which for a file a library grows with the square.
        calls=directory("<results>/methylation/calls"),
        libraries="<results>/methylation/libraries.tsv",
        indices="<results>/methylation/indices.tsv",
        limits="<results>/methylation/limits.tsv",
        crosstalk="<results>/methylation/crosstalk.tsv",
        calibration="<results>/methylation/calibration.tsv",
        standards="<results>/methylation/standards.tsv",
        read_level="<results>/methylation/read_level.tsv",
        variants="<results>/methylation/variants.tsv",
        suspected="<results>/methylation/private/suspected.tsv",
    log:
        "<logs>/estimate_methylation.log",
    benchmark:
        "<benchmarks>/estimate_methylation.tsv"
    conda:
        "../envs/hpaxis.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        code=code_of("estimate_methylation"),
        settings=settings_of("estimate_methylation", study.config.methylation),
        content=content(study.config.sheets.libraries),
    script:
        "../../scripts/estimate_methylation.py"


# One job for all libraries: methylpy starts slowly and calls quickly.
rule call_methylpy:
    input:
        bams=of_libraries(f"<results>/methylation/{seen_twice}/{{library}}.bam", study.library_ids(assay="amplicon")),
        indices=of_libraries(
            f"<results>/methylation/{seen_twice}/{{library}}.bam.bai", study.library_ids(assay="amplicon")
        ),
        panels=panel_files(*study.library_ids()),
        shims=[shipped("scripts", "shims", name) for name in ("samtools", "samtools.py")],
    output:
        calls=directory("<results>/methylation/methylpy"),
    log:
        "<logs>/call_methylpy.log",
    benchmark:
        "<benchmarks>/call_methylpy.tsv"
    conda:
        "../envs/hpaxis.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        code=code_of("call_methylpy"),
        panels={
            panel: sorted(rows["library_id"])
            for panel, rows in study.libraries[study.libraries["assay"] == "amplicon"].groupby("panel")
        },
        turned=study.turned(),
        min_base_quality=study.config.methylation.min_base_quality,
    script:
        "../../scripts/call_methylpy.py"


rule compare_callers:
    input:
        counts=of_libraries(
            f"<results>/methylation/{'counts' if seen_twice == 'bam' else 'sample'}/{{library}}.tsv",
            study.library_ids(assay="amplicon"),
        ),
        reads=of_libraries("<results>/methylation/reads/{library}.tsv", study.library_ids(assay="amplicon")),
        methylpy=rules.call_methylpy.output.calls,
    output:
        concordance="<results>/methylation/concordance.tsv",
    log:
        "<logs>/compare_callers.log",
    benchmark:
        "<benchmarks>/compare_callers.tsv"
    conda:
        "../envs/hpaxis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=code_of("compare_callers"),
        confidence=study.config.methylation.confidence,
        sampled=None if seen_twice == "bam" else second_caller_molecules,
    script:
        "../../scripts/compare_callers.py"


# Names are those of the libraries: for the laboratory's MultiQC, not for sharing.
rule write_multiqc:
    input:
        libraries=rules.estimate_methylation.output.libraries,
        reads=rules.estimate_methylation.input.reads,
        cycles=rules.estimate_methylation.input.cycles,
    output:
        expand(
            "<results>/methylation/multiqc/hpaxis_{section}_mqc.json",
            section=["general", "fates", "controls", "cycles"],
        ),
    log:
        "<logs>/write_multiqc.log",
    benchmark:
        "<benchmarks>/write_multiqc.tsv"
    conda:
        "../envs/hpaxis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=code_of("write_multiqc"),
    script:
        "../../scripts/write_multiqc.py"


# Not part of a run: asked for by the target browser. Tracks are of single libraries, and stay with the laboratory.
rule write_tracks:
    input:
        calls=rules.estimate_methylation.output.calls,
        genome=here(study.config.methylation.genome.fasta),
    output:
        counts=expand("<results>/methylation/browser/{library}.bedmethyl.gz", library=study.library_ids()),
        levels=expand("<results>/methylation/browser/{library}.bw", library=study.library_ids()),
    log:
        "<logs>/write_tracks.log",
    benchmark:
        "<benchmarks>/write_tracks.tsv"
    conda:
        "../envs/hpaxis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=code_of("write_tracks"),
        libraries=study.library_ids(),
    script:
        "../../scripts/write_tracks.py"


rule browser:
    input:
        rules.write_tracks.output if with_saliva else [],


rule estimate_cell_mix:
    input:
        libraries=rules.estimate_methylation.output.libraries,
        calls=rules.estimate_methylation.output.calls,
        panels=panel_files(*study.library_ids()),
    output:
        cell_mix="<results>/methylation/cell_mix.tsv",
    log:
        "<logs>/estimate_cell_mix.log",
    benchmark:
        "<benchmarks>/estimate_cell_mix.tsv"
    conda:
        "../envs/hpaxis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=code_of("estimate_cell_mix"),
        confidence=study.config.methylation.confidence,
    script:
        "../../scripts/estimate_cell_mix.py"


rule methylation:
    input:
        rules.estimate_cell_mix.output if cell_mixed else [],
        rules.estimate_methylation.output if with_saliva else [],
        rules.compare_callers.output if with_saliva else [],
        rules.write_multiqc.output if with_saliva else [],
        rules.release_counts.output if with_saliva else [],
