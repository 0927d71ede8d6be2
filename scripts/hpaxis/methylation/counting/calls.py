"""Count methylated and unmethylated molecules at each CpG of one amplicon library, read by read, at any depth."""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from hpaxis.methylation.counting import planes
from hpaxis.methylation.counting.alleles import AlleleTally
from hpaxis.methylation.counting.chemistry import is_turned
from hpaxis.methylation.counting.cycles import CycleTally
from hpaxis.methylation.counting.leads import LeadTally
from hpaxis.methylation.counting.molecules import NOT_PLACED, from_bottom_strand, merge_pairs
from hpaxis.methylation.counting.placement import WordIndex
from hpaxis.methylation.counting.reads import CHUNK_BYTES, ahead, lane_paths, read_chunks, windows
from hpaxis.methylation.counting.sites import STRETCH, SiteTally, has_stretch
from hpaxis.methylation.counting.tallies import Tally
from hpaxis.methylation.counting.target import panel_targets
from hpaxis.methylation.counting.umis import COLUMNS as UMI_COLUMNS
from hpaxis.methylation.counting.umis import NO, STATE_LETTERS, YES, FamilyTally, take_umis, umi_lengths
from hpaxis.methylation.panels.panel import IUPAC, reverse_complement

# Every pair ends in exactly one of these.
FATES = (
    "dimers", "off_target", "discordant", "duplicates", "too_short", "low_quality", "low_identity", "unconverted",
    "passed",
)  # fmt: skip
PATTERN_COLUMNS = ("amplicon", "pattern", "unconverted", "sites", "count")
# Rows laid over a reference at once, in cells (rows × offsets): about half a chunk, one direction of its reads.
BLOCK_CELLS = 2_000_000
# Fewer good bases than this tell neither identity nor conversion.
SHORTEST = 30
# A dimer is a primer, then the other primer's complement within this many bases of slack, with nothing in between.
DIMER_SLACK = 20
METHYLATED, UNMETHYLATED, OTHER, MISSING = (ord(c) for c in "10x.")


@dataclass(frozen=True)
class ReadFilters:
    """What a molecule must be to count. Shares are of its good bases, those with ``min_base_quality`` or more.

    ``min_usable``: least share of good bases among the covered; ``min_identity``: least share that match the converted
    reference, of those known and those cut off (`MergedPairs.stray`); ``max_unconverted``: largest share of unconverted
    cytosines among those outside CpGs.
    """

    min_base_quality: int = 20
    min_usable: float = 0.5
    min_identity: float = 0.9
    max_unconverted: float = 0.25


@dataclass(frozen=True)
class LibraryCalls:
    """What one library says: ``counts`` one row per CpG, ``patterns`` one row per distinct molecule, ``reads`` one row.

    ``conversion`` counts molecules by their unconverted and all known cytosines outside CpGs, those that are left out
    for ``max_unconverted`` included.
    ``cycles`` has one row per mate and cycle (see `cycles.CycleTally`), ``alleles`` what molecules show at masked
    variants (see `alleles.AlleleTally`; private), ``sites`` one row per cytosine outside CpGs (see
    `sites.SiteTally`), ``lanes`` one row per file or pair of files: what became of its reads;
    ``origin``: what was found of counts that another pipeline wrote; None where only counts are known.
    """

    counts: pd.DataFrame
    patterns: pd.DataFrame
    reads: pd.DataFrame
    conversion: pd.DataFrame
    cycles: pd.DataFrame | None = None
    alleles: pd.DataFrame | None = None
    sites: pd.DataFrame | None = None
    lanes: pd.DataFrame | None = None
    origin: object = None


def count_library(paths, panel, library_id, filters=ReadFilters(), sink=None, chunk_bytes=CHUNK_BYTES, umi=None,
                  lanes=1, chemistry="bisulfite", interleaved=False):  # fmt: skip
    """Call a library's reads against a panel.

    Parameters: FASTQ paths (one or two for each of the ``lanes``; mates 1 of all lanes, then mates 2), `Panel`,
    `ReadFilters`. ``sink``, if given, is called with each chunk's
    molecules (see `bam.BamWriter.add`). ``umi``: pattern of the UMIs (see `umis.take_umis`); then ``sink`` is called
    with each target's families (see `bam.BamWriter.add_families`) instead. ``chemistry``: see `chemistry`;
    ``interleaved``: see `reads.read_chunks`. Returns `LibraryCalls`. Memory grows with
    distinct molecules, and with depth only if there are UMIs; there is no depth cap and no removal of duplicates.
    Raises `InputError` for damaged files, mates out of step or reads without UMIs.
    """
    caller = _Caller(panel, filters, sink, umi, is_turned(chemistry))
    pad = max(planes.padded(len(t)) for t in caller.targets)
    for files in lane_paths(paths, lanes):
        caller.begin_lane(files)
        for reads in ahead(read_chunks(files, pad, chunk_bytes, interleaved)):
            caller.add(reads)
    return caller.tables(library_id)


class _Caller:
    """The running sums of one library."""

    def __init__(self, panel, filters, sink, umi, turned):
        self.panel, self.filters, self.sink, self.umi, self.paths = panel, filters, sink, umi, []
        self.families = FamilyTally() if umi else None
        self.targets = panel_targets(panel, turned)
        # Either strand of an amplicon without primers: words tell the place, and converted bases then the strand.
        first = {target.amplicon: i for i, target in reversed(list(enumerate(self.targets)))}
        self.index = WordIndex([(i, self.targets[i]) for i in first.values()])
        self.bottom = {first[target.amplicon]: i for i, target in enumerate(self.targets) if target.strand == "bottom"}
        self.primers = _primer_pairs(panel)
        self.fates = Counter()
        self.passing = Counter()
        self.tally = Tally()
        self.alleles = AlleleTally(panel)
        self.cycles = CycleTally(umi_lengths(umi))
        self.patterns = {name: Counter() for name in panel.references}
        self.conversion = Counter()
        self.sites = SiteTally()
        self.leads = LeadTally()
        self.lanes = []

    def begin_lane(self, paths):
        """Begin with the next file or pair of files of the library."""
        self.paths = paths
        self.lanes.append(self.fates.copy())

    def add(self, reads):
        """Take one chunk of pairs."""
        umis = None
        if self.umi:
            reads, umis = take_umis(reads, self.umi, self.paths, self.filters.min_base_quality)
        places = [self.index.place(mate) for mate in reads]
        target, first_forward, placed = _join(places, reads)
        self.leads.add(self.targets, reads, places)
        self._count_unplaced(reads, np.flatnonzero(target == UNPLACED))
        self.fates["discordant"] += int(np.count_nonzero(target == DISCORDANT))
        batches = []
        for group in np.unique(2 * target[target >= 0] + first_forward[target >= 0]):
            index, forward = int(group) // 2, bool(group % 2)
            rows = np.flatnonzero((target == index) & (first_forward == forward))
            size = max(1, BLOCK_CELLS // len(self.targets[index]))
            for block in np.split(rows, range(size, len(rows), size)):
                anchors = [np.where(found[block], p.anchor[block], NOT_PLACED) for p, found in zip(places, placed)]
                for strand, mine in self._strands(index, reads, block, anchors, forward):
                    mates = [(mate, block[mine], anchor[mine]) for mate, anchor in zip(reads, anchors)]
                    batches.append(self._call(self.targets[strand], block[mine], mates, forward, umis))
        if self.sink is not None and umis is None:
            self.sink(reads[0], batches)

    def _strands(self, index, reads, rows, anchors, forward):
        """Split rows by the strand that was amplified: index of its target, and which of the rows."""
        if index not in self.bottom:
            return [(index, slice(None))]
        other = self.bottom[index]
        mates = list(zip(reads, [rows] * len(reads), anchors))
        strands = self.targets[index], self.targets[other]
        on_other = from_bottom_strand(*strands, mates, forward, self.filters.min_base_quality)
        return [(i, at) for i, at in ((index, ~on_other), (other, on_other)) if at.any()]

    def _call(self, target, rows, mates, forward, umis):
        filters = self.filters
        molecules = merge_pairs(target, mates, forward, filters.min_base_quality)
        covered = planes.count(molecules.covered)
        known = molecules.matches + molecules.mismatches
        has_cpg = ~target.without_cpg(molecules)
        methylated, converted = (molecules.shown(base) & has_cpg for base in (target.methylated, target.unmethylated))
        others = planes.for_rows(target.other_flags, len(rows))
        unconverted = planes.count(methylated & others)
        sites = unconverted + planes.count(converted & others)
        whole = np.ones(len(rows), dtype=bool)
        for fate, failed in (
            ("too_short", covered < SHORTEST),
            ("low_quality", (known < SHORTEST) | (known < filters.min_usable * covered)),
            ("low_identity", molecules.matches < filters.min_identity * (known + molecules.stray)),
        ):
            self.fates[fate] += int(np.count_nonzero(whole & failed))
            whole &= ~failed
        left = whole & (unconverted <= filters.max_unconverted * sites)
        if umis is None and filters.max_unconverted < 1:
            # Molecules with a stretch are of another kind than those that failed as a whole: neither tells e.
            stretch = _find_stretches(methylated, converted, unconverted, left, target)
            left &= ~stretch
            whole &= ~stretch
            self.fates["unconverted"] += int(np.count_nonzero(stretch))
            self.passing["stretches"] += int(np.count_nonzero(stretch))
        self.fates["unconverted"] += int(np.count_nonzero(whole & ~left))
        self.fates["passed"] += int(np.count_nonzero(left))
        flags = methylated, converted, molecules.good
        totals = [planes.column_counts(shown[left], len(target)) for shown in (methylated, converted)]
        if umis is None:
            self._tally_conversion(target, unconverted[whole], sites[whole])
            self._tally(target, _states(flags, left, target.cpgs), unconverted[left], sites[left])
            self._tally_alleles(target, molecules, methylated, converted, left)
            self.sites.add(target, methylated, totals, left)
        else:
            # Failed conversion is judged of families, not of the molecules they are of.
            cytosines = np.concatenate([target.cpgs, target.others])
            alleles = self.alleles.shown(target, molecules)[whole]
            self.families.add(target, umis, rows[whole], _states(flags, whole, cytosines), alleles)
        self.passing["non_cpg_unconverted"] += int(unconverted[left].sum())
        self.passing["non_cpg_converted"] += int((sites - unconverted)[left].sum())
        self.tally.add(target, molecules, totals, left)
        self.cycles.add(target, molecules.mates, [anchor for *_, anchor in mates], left & ~molecules.gapped)
        self.passing["merged"] += int(np.count_nonzero(molecules.merged[left]))
        self.passing["gapped"] += int(np.count_nonzero(molecules.gapped[left]))
        self.passing["forward" if forward else "reverse"] += int(np.count_nonzero(left))
        return target, rows, molecules, left

    def _tally(self, target, states, unconverted, sites):
        extra = np.stack([unconverted, sites], axis=1).astype("<u2").view(np.uint8)
        rows = np.ascontiguousarray(np.concatenate([states, extra], axis=1))
        self.patterns[target.amplicon].update(rows.view(f"V{rows.shape[1]}").ravel().tolist())

    def _tally_alleles(self, target, molecules, methylated, converted, rows):
        shown = self.alleles.shown(target, molecules)
        if shown.shape[1]:
            states = (planes.unpack_columns(flags[rows], target.cpgs) > 0 for flags in (methylated, converted))
            self.alleles.add(target, shown[rows], *states)

    def _tally_families(self):
        """Count families as molecules."""
        for target, sizes, states in self.families.families():
            cytosines = len(target.cpgs) + len(target.others)
            cpgs, others, alleles = np.split(states, [len(target.cpgs), cytosines], axis=1)
            unconverted = np.count_nonzero(others == YES, axis=1)
            sites = unconverted + np.count_nonzero(others == NO, axis=1)
            passing = unconverted <= self.filters.max_unconverted * sites
            stretch = passing & (self.filters.max_unconverted < 1) & has_stretch(others == YES, others == NO)
            passing &= ~stretch
            self.passing["stretches"] += int(np.count_nonzero(stretch))
            self._tally_conversion(target, unconverted[~stretch], sites[~stretch])
            self.sites.add_families(target, others[passing], YES, NO, cpgs[passing])
            self._tally(target, STATE_LETTERS[cpgs[passing]], unconverted[passing], sites[passing])
            self.alleles.add(target, alleles[passing], cpgs[passing] == YES, cpgs[passing] == NO)
            self.passing["umi_families"] += int(np.count_nonzero(passing))
            self.passing["umi_single"] += int(np.count_nonzero(sizes[passing] == 1))
            if self.sink is not None:
                self.sink(target, states[passing, :cytosines])

    def _tally_conversion(self, target, unconverted, sites):
        cells, counts = np.unique((sites << 32) | unconverted, return_counts=True)
        for cell, count in zip(cells.tolist(), counts.tolist()):
            self.conversion[target.amplicon, cell & 0xFFFFFFFF, cell >> 32] += count

    def _count_unplaced(self, reads, rows):
        """Tell apart, among pairs that lie nowhere: poor quality, primer dimers, and the products of other places."""
        if not len(rows):
            return
        poor = np.ones(len(rows), dtype=bool)
        dimer = np.zeros(len(rows), dtype=bool)
        for mate in reads:
            width = int(mate.length[rows].max(initial=1))
            inside = np.arange(width) < mate.length[rows][:, None]
            quality = windows(mate.data, mate.quality[rows], width)
            good = np.count_nonzero(inside & (quality >= self.filters.min_base_quality + 33), axis=1)
            poor &= good < self.filters.min_usable * mate.length[rows]
            dimer |= _are_dimers(mate, rows, self.primers)
        self.fates["dimers"] += int(np.count_nonzero(dimer))
        self.fates["low_quality"] += int(np.count_nonzero(poor & ~dimer))
        self.fates["off_target"] += int(np.count_nonzero(~poor & ~dimer))

    def tables(self, library_id):
        """The library's tables."""
        if self.families is not None:
            self._tally_families()
        patterns = self._patterns_table()
        return LibraryCalls(
            counts=counts_table(patterns, self.panel, library_id),
            patterns=patterns,
            reads=self._reads_table(library_id),
            conversion=conversion_table([(*cell, n) for cell, n in self.conversion.items()], list(self.patterns)),
            cycles=self.cycles.table(),
            alleles=self.alleles.table(),
            sites=self.sites.table(),
            lanes=self._lanes_table(),
        )

    def _lanes_table(self):
        """What became of the pairs of each lane, in the order of the sheet."""
        rows = []
        for number, (before, after) in enumerate(zip(self.lanes, [*self.lanes[1:], self.fates]), start=1):
            fates = {fate: after[fate] - before[fate] for fate in FATES}
            rows.append({"lane": number, "pairs_in": sum(fates.values()), **fates})
        return pd.DataFrame(rows, columns=["lane", "pairs_in", *FATES])

    def _patterns_table(self):
        parts = []
        for name, patterns in self.patterns.items():
            size = len(self.panel.cpg_offsets(name))
            rows = np.frombuffer(b"".join(patterns), dtype=np.uint8).reshape(len(patterns), size + 4)
            letters = np.ascontiguousarray(rows[:, :size]).tobytes().decode("ascii")
            texts = [letters[i : i + size] for i in range(0, len(letters), size)] if size else [""] * len(rows)
            unconverted, sites = np.ascontiguousarray(rows[:, size:]).view("<u2").T.astype(np.int64)
            columns = (name, texts, unconverted, sites, list(patterns.values()))
            parts.append(pd.DataFrame(dict(zip(PATTERN_COLUMNS, columns))))
        return patterns_table(pd.concat(parts, ignore_index=True), list(self.patterns))

    def _reads_table(self, library_id):
        fates = {fate: self.fates[fate] for fate in FATES}
        total = sum(fates.values())
        row = {"library_id": library_id, "pairs_in": total, **fates}
        row["on_target"] = total - fates["dimers"] - fates["off_target"]
        for column in ("merged", "gapped", "forward", "reverse", "non_cpg_unconverted", "non_cpg_converted"):
            row[column] = self.passing[column]
        families = dict.fromkeys(UMI_COLUMNS)
        if self.families is not None:
            families = {c: self.passing[c] for c in UMI_COLUMNS} | {"umi_unknown": self.families.unknown}
        found = {"stretches": self.passing["stretches"]} | self.sites.columns() | self.leads.columns()
        spike = dict.fromkeys(("spike_methylated", "spike_unmethylated"))  # of genome libraries only
        return pd.DataFrame([row | self.tally.columns() | found | families | spike])


def counts_table(patterns, panel, library_id):
    """A row a CpG: how many molecules of a patterns table are methylated and unmethylated there, or neither."""
    counts = panel.cpgs[["amplicon", "cpg_id", "chrom", "pos", "strand"]].copy()
    counts.insert(0, "library_id", library_id)
    found = []
    for name in panel.references:
        mine, size = (patterns["amplicon"] == name).to_numpy(), len(panel.cpg_offsets(name))
        texts, number = (patterns[column].to_numpy()[mine] for column in ("pattern", "count"))
        letters = np.frombuffer("".join(texts).encode("ascii"), dtype=np.uint8).reshape(len(texts), size)
        found += [np.bincount(column, number, minlength=256)[[METHYLATED, UNMETHYLATED, OTHER]] for column in letters.T]
    numbers = np.array(found).reshape(-1, 3).astype(np.int64)
    counts["methylated"], counts["unmethylated"], counts["other"] = numbers.T
    counts["depth"] = counts["methylated"] + counts["unmethylated"]
    return counts


def patterns_table(rows, amplicons):
    """Table of distinct molecules (`PATTERN_COLUMNS`), amplicons in order, the commonest first."""
    table = pd.DataFrame(rows, columns=PATTERN_COLUMNS)
    amplicon = pd.Categorical(table["amplicon"], amplicons).codes
    pattern = table["pattern"].to_numpy().astype("S")
    order = np.lexsort([table["sites"], table["unconverted"], pattern, -table["count"], amplicon])
    return table.take(order).reset_index(drop=True)


def conversion_table(rows, amplicons):
    """Table of molecules by (amplicon, unconverted, sites), amplicons in order."""
    table = pd.DataFrame(rows, columns=["amplicon", "unconverted", "sites", "count"])
    table["amplicon"] = pd.Categorical(table["amplicon"], amplicons, ordered=True)
    table = table.groupby(["amplicon", "sites", "unconverted"], observed=True)["count"].sum().reset_index()
    return table.astype({"amplicon": "str"})[["amplicon", "unconverted", "sites", "count"]]


UNPLACED, DISCORDANT = -1, -2


def _join(places, reads):
    """For each pair: target (`UNPLACED` or `DISCORDANT` when none), direction of mate 1, and which mates are placed."""
    placed = [place.target >= 0 for place in places]
    if len(places) == 1:
        return places[0].target, places[0].forward, placed
    one, two = places
    target = np.where(placed[0], one.target, two.target)
    forward = np.where(placed[0], one.forward, ~two.forward)
    both = placed[0] & placed[1]
    left = np.where(one.forward, one.anchor, two.anchor)
    right = np.where(one.forward, two.anchor, one.anchor)
    agree = (one.target == two.target) & (one.forward != two.forward) & (right > left)
    return np.where(both & ~agree, DISCORDANT, target), forward, placed


def _find_stretches(methylated, converted, unconverted, rows, target):
    """Which of the ``rows`` keep a stretch of cytosines outside CpGs unconverted (see `sites.has_stretch`)."""
    found = np.zeros(len(rows), dtype=bool)
    likely = np.flatnonzero(rows & (unconverted >= STRETCH))
    if len(likely):
        found[likely] = has_stretch(
            *(planes.unpack_columns(flags[likely], target.others) for flags in (methylated, converted))
        )
    return found


def _states(flags, rows, columns):
    """Pattern letters (uint8) of some cytosines of some rows, from flags of what is methylated, converted, and good."""
    methylated, converted, good = flags
    states = np.full((len(good), len(columns)), MISSING, dtype=np.uint8)
    for found, letter, otherwise in (
        (good, OTHER, MISSING), (methylated, METHYLATED, OTHER), (converted, UNMETHYLATED, OTHER),
    ):  # fmt: skip
        states += planes.unpack_columns(found, columns) * np.uint8((letter - otherwise) % 256)
    return states[rows]


def _primer_pairs(panel):
    """Each amplicon's primers, in both orders, the second as it is read through: reverse complemented."""
    pairs = []
    for row in panel.amplicons.itertuples():
        if pd.notna(row.forward_primer):
            forward, reverse = row.forward_primer.upper(), row.reverse_primer.upper()
            for first, second in ((forward, reverse), (reverse, forward)):
                pairs.append((first, reverse_complement(second)))
    return pairs


def _are_dimers(mate, rows, primers):
    """Whether reads begin with one primer and show the other's complement right behind, at most `DIMER_SLACK` later."""
    found = np.zeros(len(rows), dtype=bool)
    if not primers:
        return found
    width = planes.padded(max(len(first) + DIMER_SLACK + len(second) for first, second in primers))
    bases = windows(mate.data, mate.sequence[rows], width)
    one, two = planes.pack(bases & planes.ONE), planes.pack(bases & planes.TWO)
    known = ~planes.pack(bases & planes.OTHER) & planes.prefixes(width)[np.minimum(mate.length[rows], width)]
    for first, second in primers:
        begins = np.flatnonzero(_agree(one, two, known, _allowed(first, (0,), width), len(first))[0])
        starts = tuple(range(len(first) // 2, len(first) + DIMER_SLACK + 1))
        allowed = _allowed(second, starts, width)
        found[begins] |= _agree(one[begins], two[begins], known[begins], allowed, len(second)).any(axis=0)
    return found


@lru_cache(maxsize=256)
def _allowed(primer, starts, width):
    """Flags of the columns where each base agrees with a primer that begins at each start: 4 × starts × 1 × words."""
    allowed = np.zeros((4, len(starts), width), dtype=bool)
    for i, start in enumerate(starts):
        allowed[:, i, start : start + len(primer)] = [[letter in IUPAC[b] for b in primer] for letter in "ACTG"]
    packed = planes.pack(allowed.reshape(-1, width))
    return packed.reshape(4, len(starts), 1, -1)


def _agree(one, two, known, allowed, length):
    """Starts × rows: at most one base in six off. Primers carry synthesis errors, and reads sequencing errors."""
    return planes.count(known & planes.matching(one, two, allowed)) >= length - length // 6
