"""Count methylated and unmethylated molecules at each CpG of amplicon libraries: one, or a batch of small ones."""

from itertools import islice
from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.methylation.counting.bam import BamWriter
    from hpaxis.methylation.counting.calls import ReadFilters, count_library
    from hpaxis.methylation.counting.sample import MoleculeSample
    from hpaxis.methylation.panels.panel import read_panel
    from hpaxis.problems import InputError, raise_if_any
    from hpaxis.tables import write_table

    panel, filters = read_panel(Path(snakemake.input.panel[0]).parent), ReadFilters(**snakemake.params.filters)
    files = {name: [paths] if isinstance(paths, str) else paths for name, paths in snakemake.output.items()}
    size, reads, problems = snakemake.params.sampled, iter(snakemake.input.reads), []
    for i, given in enumerate(snakemake.params.libraries):
        library, umi = given["library"], given["umi"]
        out = {name: paths[i] for name, paths in files.items()}
        sample = None if size is None else MoleculeSample(size, snakemake.params.seed, library)
        paths = list(islice(reads, given["files"]))
        try:
            with BamWriter(out["bam"], panel.references, library, sample) as bam:
                sink = bam.add_families if umi else bam.add
                calls = count_library(
                    paths,
                    panel,
                    library,
                    filters,
                    sink,
                    umi=umi,
                    lanes=given["lanes"],
                    chemistry=given["chemistry"],
                    interleaved=given["interleaved"],
                )
        except InputError as error:
            problems += error.problems
            continue
        for name in ("counts", "patterns", "reads", "conversion", "cycles", "alleles", "sites", "lanes"):
            write_table(getattr(calls, name), out[name], f"methylation_{name}")
        if sample:
            write_table(sample.write(out["sample_bam"], panel), out["sample_counts"])
            log.info("%s: %d molecules sampled for the second caller", library, min(size, sample.seen))
        log.info("%s: %d of %d read pairs passed", library, *calls.reads.loc[0, ["passed", "pairs_in"]])
    raise_if_any(problems)
