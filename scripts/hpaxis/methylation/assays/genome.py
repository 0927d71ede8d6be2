"""Genome libraries (WGBS, RRBS, EM-seq, capture): methylpy's calls at the panel's CpGs, and at all if asked for.

methylpy 1.4.7 calls what `genome_bam.prepare_bam` leaves, with the guards of the second caller. It counts bases, not
molecules, so CpGs count as independent of each other here, as in a table of counts.
"""

import gzip
import tempfile
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pysam

from hpaxis.methylation.assays.genome_bam import FATES, Strands, check_bam, prepare_bam
from hpaxis.methylation.assays.methylpy import ALLC_COLUMNS, run_methylpy, turn
from hpaxis.methylation.assays.modbam import call_modified
from hpaxis.methylation.assays.release import counts_of_cpgs
from hpaxis.methylation.counting.calls import LibraryCalls
from hpaxis.methylation.counting.chemistry import CONVERTED, NATIVE, is_turned
from hpaxis.problems import Problem, raise_if_any
from hpaxis.schemas import load, with_defaults

CHUNK = 500_000
SUMMARY = (
    "library_id", "reads_in", "unmapped", "off_genome", "no_strand", "low_quality", "discordant", "duplicates",
    "passed", "mapped_percent", "duplicate_percent", "cpgs", "cpg_calls", "cpg_methylated", "cpg_percent", "control",
    "control_unconverted", "control_converted", "conversion_percent", "strand_source", "strand_telling",
    "strand_agreement_percent", "strand_by_reads",
    "uncertain_calls", "stated_error",
)  # fmt: skip


def open_genome(path):
    """The genome's FASTA, indexed beside itself if it is not yet; raises `InputError` with what is wrong."""
    remedy = "give a FASTA file, plain or compressed with bgzip, in a folder where its index can be written"
    try:
        return pysam.FastaFile(str(path))
    except (OSError, ValueError):
        raise_if_any([Problem(str(path), "cannot be read and indexed as FASTA", remedy)])


def place_panel(panel, genome, path):
    """The panel's CpGs in the genome: table cpg_id, chrom (the genome's own name), pos (1-based C on the plus strand).

    A contig may be called with or without ``chr``. Raises `InputError` where CpGs have no coordinates, or the genome
    has no CpG there: it is then another build than the panel's.
    """
    names = {name.removeprefix("chr"): name for name in genome.references}
    table = panel.cpgs[["cpg_id", "chrom", "pos"]].copy()
    problems = []
    if table["pos"].isna().any() or table["chrom"].isna().any():
        what = f"has {int(table['pos'].isna().sum())} CpGs without coordinates"
        problems.append(Problem(f"{panel.name}/cpgs.tsv", what, "a genome library needs a panel with coordinates"))
        raise_if_any(problems)
    table["chrom"] = [names.get(str(c).removeprefix("chr")) for c in table["chrom"]]
    for chrom in sorted(set(panel.cpgs["chrom"][table["chrom"].isna()])):
        problems.append(Problem(str(path), "has no such contig", "give the genome that the panel is of", value=chrom))
    wrong = [
        row.cpg_id for row in table.dropna().itertuples()
        if genome.fetch(row.chrom, int(row.pos) - 1, int(row.pos) + 1).upper() != "CG"
    ]  # fmt: skip
    if wrong:
        what = f"has no CpG where the panel {panel.name} has {len(wrong)} of its {len(table)}"
        problems.append(Problem(str(path), what, "give a genome of the panel's build", value=wrong[0]))
    raise_if_any(problems)
    return table.astype({"pos": "int64"})


def call_genome(bam, panel, genome_path, library_id, settings, min_base_quality, all_cpgs=None, threads=1,
                chemistry="bisulfite"):  # fmt: skip
    """Call one library; returns ``(LibraryCalls, summary)``, the latter a row with `SUMMARY`.

    ``bam``: path of the aligned reads; ``genome_path``: the FASTA they were aligned to; ``settings``: the config's
    section methylation.genome; ``all_cpgs``: where to write every CpG of the genome that was read (gzip TSV: chrom,
    pos, methylated, unmethylated, strands summed). Non-conversion comes from the spike-in contig where the settings
    name one (all its cytosines), else from all cytosines outside CpGs. With a spike-in and no ``all_cpgs`` only reads
    of the panel and the spike-ins are called. ``chemistry``: where methylated cytosines read T, methylpy's counts are
    turned; native reads are called by their tags (`modbam`). CpGs of a fully methylated spike-in tell over-conversion.
    Without a panel (None) only the summary of the whole genome is made: ``(None, summary)``. Raises `InputError`.
    """
    genome = open_genome(genome_path)
    if panel is None:
        places = pd.DataFrame({"cpg_id": [], "chrom": [], "pos": []}).astype({"chrom": "str", "pos": "int64"})
    else:
        places = place_panel(panel, genome, genome_path)
    if chemistry == NATIVE:
        return _call_native(bam, panel, places, genome, library_id, settings)
    control, full = settings.spike_in, settings.methylated_spike_in
    spikes = [name for name in (control, full) if name is not None]
    for name in spikes:
        if name not in genome.references:
            remedy = "correct methylation.genome.spike_in and methylated_spike_in"
            raise_if_any([Problem(str(genome_path), "has no such contig", remedy, value=name)])
    limited = control is not None and all_cpgs is None and panel is not None
    regions = _regions(places, genome, spikes) if limited else None
    with tempfile.TemporaryDirectory() as work:
        clean = Path(work) / "reads.bam"
        fates, strands = prepare_bam(
            bam,
            genome,
            clean,
            settings.min_mapping_quality,
            settings.remove_duplicates,
            regions,
            threads,
            settings.ignored_cycles,
        )
        reference = Path(work) / "reference.fa"
        _write_upper(genome, _used(clean), reference)
        allc = run_methylpy(clean, "library", reference, Path(work), min_base_quality)
        tally = _Tally(places, control, full)
        kinds = {"dtype": {"chrom": "str", "context": "str"}, "keep_default_na": False}
        with _GzipText(all_cpgs) if all_cpgs is not None else nullcontext() as sink:
            for chunk in pd.read_csv(allc, sep="\t", names=ALLC_COLUMNS, chunksize=CHUNK, **kinds):
                if len(chunk):
                    tally.add(turn(chunk) if is_turned(chemistry) else chunk, sink)
            tally.end(sink)
    calls = None if panel is None else _library_calls(library_id, panel, fates, tally)
    return calls, _summary(library_id, fates, tally, control, strands)


def whole_genome(bam, fasta, chemistry="bisulfite", all_cpgs=None, **settings):
    """Figures of a whole genome library as text: the columns of methylation/genome/, and spike-ins, one a line.

    ``settings``: keys of the config's section methylation.genome that differ from their defaults. Raises
    `InputError` for files that cannot be read or a chemistry that is none.
    """
    if chemistry not in CONVERTED:
        remedy = f"give one of {', '.join(CONVERTED)}"
        raise_if_any([Problem("chemistry", "cannot be counted over a whole genome", remedy, value=chemistry)])
    genome = open_genome(fasta)
    raise_if_any(check_bam(bam, genome))
    section = with_defaults({}, load("config/methylation"))
    quality = section.min_base_quality
    _, summary = call_genome(bam, None, fasta, Path(bam).stem, section.genome | settings, quality, all_cpgs,
                             chemistry=chemistry)  # fmt: skip
    return summary.iloc[0].to_string(na_rep="-")


class _GzipText:
    """A gzip table whose bytes depend on its content alone, not on its name or the time."""

    def __init__(self, path):
        self.file = open(path, "wb")  # noqa: SIM115
        self.packed = gzip.GzipFile(filename="", fileobj=self.file, mode="wb", mtime=0)

    def write(self, text):
        self.packed.write(text.encode("ascii"))

    def __enter__(self):
        self.write("chrom\tpos\tmethylated\tunmethylated\n")
        return self

    def __exit__(self, *_):
        self.packed.close()
        self.file.close()


class _Tally:
    """Sums over methylpy's table, chunk by chunk: the panel's CpGs, all CpGs, the cytosines that tell conversion."""

    def __init__(self, places, control, full=None):
        self.places = pd.MultiIndex.from_frame(places[["chrom", "pos"]])
        self.ids = places["cpg_id"].to_numpy()
        self.counts = np.zeros((len(places), 2), dtype=np.int64)
        self.control, self.full, self.spike = control, full, np.zeros(2, dtype=np.int64)
        self.unconverted = self.sites = self.cpgs = self.methylated = self.calls = 0
        self.left = None

    def add(self, chunk, sink):
        is_cpg = chunk["context"].str.startswith("CG")
        if self.full is not None:
            mine = chunk["chrom"] == self.full
            rows = chunk[mine & is_cpg]
            self.spike += [rows["methylated"].sum(), (rows["covered"] - rows["methylated"]).sum()]
            chunk, is_cpg = chunk[~mine], is_cpg[~mine]
        if self.control is None:
            telling = chunk[chunk["context"].str.match("C[ACT]")]
        else:
            telling = chunk[chunk["chrom"] == self.control]
            is_cpg &= chunk["chrom"] != self.control
        self.unconverted += int(telling["methylated"].sum())
        self.sites += int(telling["covered"].sum())
        cpgs = chunk.loc[is_cpg, ["chrom", "pos", "strand", "methylated", "covered"]]
        cpgs = cpgs.assign(pos=cpgs["pos"] - (cpgs["strand"] == "-")).drop(columns="strand")
        if self.left is not None:
            cpgs = pd.concat([self.left, cpgs])
        # A CpG's second strand may stand in the next chunk.
        last = cpgs.tail(1)
        together = (cpgs["chrom"] == last["chrom"].iloc[0]) & (cpgs["pos"] == last["pos"].iloc[0]) if len(last) else []
        self.left = cpgs[together] if len(last) else None
        self._sum(cpgs[~together] if len(last) else cpgs, sink)

    def end(self, sink):
        if self.left is not None:
            self._sum(self.left, sink)
            self.left = None

    def _sum(self, cpgs, sink):
        sums = cpgs.groupby(["chrom", "pos"], sort=False)[["methylated", "covered"]].sum()
        self.cpgs += len(sums)
        self.methylated += int(sums["methylated"].sum())
        self.calls += int(sums["covered"].sum())
        here = self.places.get_indexer(sums.index)
        found = sums[here >= 0]
        self.counts[here[here >= 0], 0] += found["methylated"].to_numpy()
        self.counts[here[here >= 0], 1] += (found["covered"] - found["methylated"]).to_numpy()
        if sink is not None:
            for (chrom, pos), row in zip(sums.index, sums.to_numpy()):
                sink.write(f"{chrom}\t{pos}\t{row[0]}\t{row[1] - row[0]}\n")


def _call_native(bam, panel, places, genome, library_id, settings):
    calls, fates, told = call_modified(bam, panel, places, genome, library_id, settings)
    fates = {fate: fates[fate] for fate in FATES}
    m, u = int(calls.counts["methylated"].sum()), int(calls.counts["unmethylated"].sum())
    tally = SimpleNamespace(
        cpgs=int((calls.counts["depth"] > 0).sum()), methylated=m, calls=m + u, unconverted=0, sites=0
    )
    summary = _summary(library_id, fates, tally, "none: native reads", Strands("MM and ML tags", 0, 0))
    summary[["uncertain_calls", "stated_error"]] = told["uncertain"], told["stated_error"]
    return _with_fates(calls, fates), summary


def _regions(places, genome, spikes):
    found = {name: [(0, genome.get_reference_length(name))] for name in spikes}
    for chrom, rows in places.groupby("chrom"):
        found.setdefault(chrom, []).append((int(rows["pos"].min()) - 1, int(rows["pos"].max()) + 1))
    return found


def _used(bam):
    """Contigs that have reads."""
    with pysam.AlignmentFile(str(bam)) as handle:
        return [row.contig for row in handle.get_index_statistics() if row.mapped]


def _write_upper(genome, contigs, path):
    """The contigs in upper case: methylpy drops cytosines that soft-masked genomes write in lower case."""
    with open(path, "w", encoding="ascii") as out:
        for name in contigs:
            text = genome.fetch(name).upper()
            out.write(f">{name}\n")
            out.writelines(f"{text[i : i + 60]}\n" for i in range(0, len(text), 60))
        if not contigs:
            out.write(">none\nN\n")
    pysam.faidx(str(path))


def _library_calls(library_id, panel, fates, tally):
    rows = pd.DataFrame({
        "library_id": library_id, "cpg_id": tally.ids, "methylated": tally.counts[:, 0],
        "unmethylated": tally.counts[:, 1], "non_cpg_unconverted": tally.unconverted,
        "non_cpg_converted": tally.sites - tally.unconverted,
    })  # fmt: skip
    calls = counts_of_cpgs(rows, library_id, panel)
    if tally.full is not None:
        calls.reads[["spike_methylated", "spike_unmethylated"]] = tally.spike.tolist()
    return _with_fates(calls, fates)


def _with_fates(calls, fates):
    """The calls with where the library's reads went."""
    total = sum(fates.values())
    reads = calls.reads.assign(
        pairs_in=total, off_target=fates["unmapped"] + fates["off_genome"],
        low_quality=fates["low_quality"] + fates["no_strand"],
        discordant=fates["discordant"], duplicates=fates["duplicates"], passed=fates["passed"],
        on_target=total - fates["unmapped"] - fates["off_genome"],
    )  # fmt: skip
    return LibraryCalls(calls.counts, calls.patterns, reads, calls.conversion)


def _summary(library_id, fates, tally, control, strands):
    total = sum(fates.values())
    mapped = total - fates["unmapped"] - fates["off_genome"]

    def share(part, whole):
        return 100 * part / whole if whole else np.nan

    row = {"library_id": library_id, "reads_in": total, **fates}
    row |= {
        "mapped_percent": share(mapped, total), "duplicate_percent": share(fates["duplicates"], mapped),
        "cpgs": tally.cpgs, "cpg_calls": tally.calls, "cpg_methylated": tally.methylated,
        "cpg_percent": share(tally.methylated, tally.calls), "control": control or "cytosines outside CpGs",
        "control_unconverted": tally.unconverted, "control_converted": tally.sites - tally.unconverted,
        "conversion_percent": share(tally.sites - tally.unconverted, tally.sites), "strand_source": strands.source,
        "strand_telling": strands.telling, "strand_agreement_percent": share(strands.agreeing, strands.telling),
        "strand_by_reads": "yes" if strands.own else "no",
    }  # fmt: skip
    return pd.DataFrame([row], columns=list(SUMMARY))
