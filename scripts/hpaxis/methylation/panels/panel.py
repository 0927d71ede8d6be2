"""A panel: the amplicons a study measures, their reference, primers and CpG registry, as a folder of tables."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hpaxis.methylation.panels.nucleotides import IUPAC, reverse_complement
from hpaxis.methylation.panels.variants import check_mask
from hpaxis.names import REMEDY, WHAT, is_name
from hpaxis.problems import InputError, Problem, raise_if_any
from hpaxis.shipped import PANELS
from hpaxis.tables import whole_file, write_table

COLUMNS = {
    "amplicons": ("amplicon", "chrom", "start", "end", "strand", "forward_primer", "reverse_primer", "source"),
    "cpgs": ("cpg_id", "amplicon", "offset", "chrom", "pos", "strand", "source"),
    "aliases": ("cpg_id", "scheme", "alias", "source"),
    "indices": ("index", "cpg_id", "source"),
    "snp_mask": ("chrom", "pos", "ref", "alt", "allele_frequency", "source"),
}
KEYS = {
    "amplicons": ("amplicon",),
    "cpgs": ("cpg_id",),
    "aliases": ("cpg_id", "scheme"),
    "indices": ("index", "cpg_id"),
    "snp_mask": ("chrom", "pos", "ref", "alt"),
}
NAMES = ("amplicon", "chrom", "cpg_id", "scheme", "alias", "index")
FILES = ("reference.fa", *(f"{name}.tsv" for name in COLUMNS))
# What numbers come from; other files of the folder are notes, checks, and what figures show.
DECIDING = (*FILES, "cell_types.tsv")


@dataclass(frozen=True)
class Panel:
    """A panel as read and checked.

    ``references`` maps each amplicon to its genomic, unconverted sense sequence in upper case. The tables have the
    columns of `COLUMNS`; ``cpgs`` is sorted by amplicon (in the order of ``amplicons``) and offset (0-based, of
    the C in the reference). Positions are 1-based; missing coordinates and primers are ``NA``.
    """

    name: str
    amplicons: pd.DataFrame
    references: dict
    cpgs: pd.DataFrame
    aliases: pd.DataFrame
    indices: pd.DataFrame
    snps: pd.DataFrame

    def cpg_offsets(self, amplicon):
        """0-based offsets of the amplicon's CpGs, ascending."""
        return self.cpgs.loc[self.cpgs["amplicon"] == amplicon, "offset"].to_numpy(dtype=np.int64)

    def insert_bounds(self, amplicon):
        """First offset after the forward primer and first offset of the reverse primer: what a read can tell of."""
        row = self.amplicons.set_index("amplicon").loc[amplicon]
        length = len(self.references[amplicon])
        if pd.isna(row["forward_primer"]):
            return 0, length
        return len(row["forward_primer"]), length - len(row["reverse_primer"])


def panel_folder(name):
    """Return a panel's folder: a shipped panel by its name, any other by its path."""
    shipped = PANELS / name
    return shipped if "/" not in name and name not in (".", "..") and os.path.isdir(shipped) else Path(name)


def read_panel(folder):
    """Read a panel folder and check its tables against its reference and each other.

    Raises `InputError` with every problem found: files or columns missing, keys doubled, offsets that are no CpG,
    CpGs of the reference left out, coordinates that contradict the amplicon's, primers that do not match the
    converted reference, names that no other table knows.
    """
    folder = Path(folder)
    missing = [name for name in FILES if not (folder / name).is_file()]
    raise_if_any([
        Problem(str(folder / name), "file of the panel is missing", "add it; the demo's panel shows its form")
        for name in missing
    ])  # fmt: skip
    problems = []
    references = _read_references(folder / "reference.fa", problems)
    tables = {name: _read_text(folder / f"{name}.tsv", name, problems) for name in COLUMNS}
    raise_if_any(problems)
    amplicons = _numbers(tables["amplicons"], ("start", "end"), folder / "amplicons.tsv", problems)
    cpgs = _numbers(tables["cpgs"], ("offset", "pos"), folder / "cpgs.tsv", problems)
    snps = _numbers(tables["snp_mask"], ("pos",), folder / "snp_mask.tsv", problems)
    raise_if_any(problems)
    problems += _check_amplicons(amplicons, references, folder / "amplicons.tsv")
    problems += _check_cpgs(cpgs, amplicons, references, folder / "cpgs.tsv")
    known = set(cpgs["cpg_id"])
    for name in ("aliases", "indices"):
        problems += _check_known(tables[name], known, folder / f"{name}.tsv")
    problems += check_mask(snps, amplicons, references, folder / "snp_mask.tsv")
    raise_if_any(problems)
    order = {name: i for i, name in enumerate(amplicons["amplicon"])}
    cpgs = cpgs.astype({"offset": "int64"}).sort_values(
        ["amplicon", "offset"], key=lambda column: column.map(order) if column.name == "amplicon" else column
    )
    return Panel(
        name=folder.name,
        amplicons=amplicons,
        references={name: references[name] for name in amplicons["amplicon"]},
        cpgs=cpgs.reset_index(drop=True),
        aliases=tables["aliases"],
        indices=tables["indices"],
        snps=snps,
    )


def find_cpgs(reference):
    """Offsets of the C of each certain CpG."""
    return [i for i in range(len(reference) - 1) if reference[i : i + 2] == "CG"]


def primer_mismatches(primer, reference):
    """Positions where a bisulfite-space primer (5'→3', along ``reference``) cannot pair with the converted strand.

    ``reference`` is genomic and of the primer's length. A C pairs as T after conversion; at a CpG, where it may have
    stayed C, both are allowed. Ambiguity codes match when they share a base.
    """
    wrong = []
    for i, base in enumerate(reference):
        allowed = set(IUPAC[base])
        if "C" in allowed:
            allowed = (allowed - {"C"}) | {"T"}
            if reference[i + 1 : i + 2] == "G":
                allowed.add("C")
        if not allowed & set(IUPAC[primer[i]]):
            wrong.append(i)
    return wrong


def record_headers(path):
    """Name of each record of a FASTA file → its whole header; of genomes, whose records are chromosomes, none."""
    if Path(path).stat().st_size > LARGEST_PIECE:
        return {}
    lines = (line[1:].strip() for line in _text(Path(path)).splitlines() if line.startswith(">"))
    return {line.split()[0]: line for line in lines if line}


def _read_references(path, problems):
    references, name = {}, None
    for number, line in enumerate(_text(path).splitlines(), 1):
        line = line.strip()
        if line.startswith(">"):
            name = line[1:].split()[0] if line[1:].split() else ""
            if not name or name in references:
                problems.append(
                    Problem(str(path), "record without a name of its own", "name each record once", number, None, name)
                )
            references.setdefault(name, [])
        elif line and name is None:
            problems.append(Problem(str(path), "sequence before the first header", "begin with '>amplicon'", number))
        elif line:
            strange = sorted(set(line.upper()) - set(IUPAC))
            if strange:
                problems.append(
                    Problem(str(path), "not a nucleotide code", "use IUPAC codes", number, None, "".join(strange))
                )
            references[name].append(line.upper())
    return {name: "".join(parts) for name, parts in references.items()}


def _read_text(path, name, problems):
    table = _text_table(path)
    wanted = COLUMNS[name]
    for column in [c for c in wanted if c not in table.columns]:
        problems.append(Problem(str(path), "column is missing", f"the columns are {', '.join(wanted)}", 1, column))
    for column in [c for c in table.columns if c not in wanted]:
        problems.append(Problem(str(path), "unknown column", f"the columns are {', '.join(wanted)}", 1, column))
    keys = [c for c in KEYS[name] if c in table.columns]
    for row in table.index[table.duplicated(keys)] if keys else []:
        value = " ".join(str(v) for v in table.loc[row, keys])
        problems.append(Problem(str(path), "named twice", "keep one row", row + 2, keys[-1], value))
    for column in keys:
        for row in table.index[table[column].isna() | (table[column] == "")]:
            problems.append(Problem(str(path), "is empty", "give it a value", row + 2, column))
    for column in [c for c in NAMES if c in wanted and c in table.columns]:
        for row, value in table[column].dropna().items():
            if value and not is_name(value):
                problems.append(Problem(str(path), WHAT, REMEDY, row + 2, column, value))
    return table.reindex(columns=list(wanted))


def _text(path):
    """The text of a file of the panel; raises `InputError` unless it is UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise InputError(Problem(str(path), "cannot be read as UTF-8 text", "save it as UTF-8 text")) from None


def _text_table(path):
    """A tab-separated table as text, NA as missing; raises `InputError` unless each row has the header's cells."""
    lines = [line.split("\t") for line in _text(path).splitlines()]
    if not lines:
        raise InputError(Problem(str(path), "is empty", "write its header row"))
    header = lines[0]
    problems = [
        Problem(str(path), "stands twice in the header", "remove one", 1, value=name)
        for name in dict.fromkeys(name for name in header if header.count(name) > 1)
    ]
    rows = {number: cells for number, cells in enumerate(lines[1:], start=2) if cells != [""]}
    for number, cells in rows.items():
        if len(cells) != len(header):
            what = f"has {len(cells)} cells where the header has {len(header)}"
            problems.append(Problem(str(path), what, "give the row one cell for each column", number))
    raise_if_any(problems)
    # The index is the row's line less two, as problems are numbered, empty lines or not.
    table = pd.DataFrame(list(rows.values()), columns=header, index=[n - 2 for n in rows], dtype="str")
    return table.mask(table == "NA")


def _numbers(table, columns, path, problems):
    table = table.copy()
    for column in columns:
        numbers = pd.to_numeric(table[column], errors="coerce")
        bad = (numbers.isna() & table[column].notna()) | (numbers % 1 != 0) & numbers.notna()
        for row in table.index[bad]:
            problems.append(
                Problem(str(path), "not a whole number", "write digits, or NA", row + 2, column, table.loc[row, column])
            )
        table[column] = numbers.where(~bad).astype("Int64")
    return table


def _check_amplicons(amplicons, references, path):
    problems = []
    for i, row in amplicons.iterrows():
        line, reference = i + 2, references.get(row["amplicon"])
        if reference is None:
            problems.append(
                Problem(
                    str(path),
                    "has no record in reference.fa",
                    "add it, or correct the name",
                    line,
                    "amplicon",
                    row["amplicon"],
                )
            )
            continue
        if row["strand"] not in ("+", "-"):
            problems.append(Problem(str(path), "is neither + nor -", "give the strand", line, "strand", row["strand"]))
        if pd.notna(row["start"]) and pd.notna(row["end"]) and row["end"] - row["start"] + 1 != len(reference):
            problems.append(
                Problem(str(path), f"end - start + 1 is not the reference's length, {len(reference)}",
                        "correct the coordinates (1-based, both ends included)", line, "end", int(row["end"]))
            )  # fmt: skip
        problems += _check_primers(row, reference, path, line)
    for name in sorted(set(references) - set(amplicons["amplicon"])):
        problems.append(Problem(str(path), "is in reference.fa but not here", "add its row", None, "amplicon", name))
    return problems


def _check_primers(row, reference, path, line):
    given = [c for c in ("forward_primer", "reverse_primer") if pd.notna(row[c])]
    if len(given) == 1:
        return [Problem(str(path), "is the only primer", "give both primers or neither", line, given[0])]
    problems = []
    for column in given:
        primer = row[column].upper()
        if set(primer) - set(IUPAC) or not primer or len(primer) > len(reference) // 2:
            problems.append(Problem(str(path), "is no primer", "use IUPAC codes, 5'→3'", line, column, primer))
            continue
        if column == "forward_primer":
            wrong = primer_mismatches(primer, reference[: len(primer)])
        else:
            wrong = primer_mismatches(reverse_complement(primer), reference[-len(primer) :])
            wrong = [len(primer) - 1 - i for i in wrong][::-1]
        if wrong:
            where = ", ".join(str(i + 1) for i in wrong)
            problems.append(
                Problem(str(path), f"does not match its converted reference at base {where}",
                        "primers are written 5'→3' in bisulfite space; the reference runs from primer to primer, along "
                        "the strand that is amplified", line, column, primer)
            )  # fmt: skip
    return problems


def _check_cpgs(cpgs, amplicons, references, path):
    problems = []
    known = amplicons.drop_duplicates("amplicon").set_index("amplicon")
    for i, row in cpgs.iterrows():
        line, reference = i + 2, references.get(row["amplicon"])
        if reference is None or row["amplicon"] not in known.index:
            problems.append(
                Problem(str(path), "is not in amplicons.tsv", "correct the name", line, "amplicon", row["amplicon"])
            )
            continue
        amplicon = known.loc[row["amplicon"]]
        if pd.isna(row["offset"]) or reference[int(row["offset"]) : int(row["offset"]) + 2] != "CG":
            problems.append(
                Problem(str(path), "is not the C of a CpG in the reference", "offsets count from 0", line, "offset",
                        None if pd.isna(row["offset"]) else int(row["offset"]))
            )  # fmt: skip
            continue
        problems += _check_coordinate(row, amplicon, path, line)
    for amplicon, rows in cpgs.groupby("amplicon", sort=False):
        if amplicon in known.index and amplicon in references:
            problems += _check_listing(rows, known.loc[amplicon], references[amplicon], path)
    return problems


def _check_coordinate(row, amplicon, path, line):
    if pd.isna(row["pos"]) or pd.isna(amplicon["start"]) or pd.isna(amplicon["end"]):
        return []
    expected = amplicon["start"] + row["offset"] if amplicon["strand"] == "+" else amplicon["end"] - row["offset"] - 1
    problems = []
    if row["pos"] != expected:
        problems.append(
            Problem(str(path), f"should be {int(expected)} by the amplicon's coordinates",
                    "pos is the plus-strand C of the CpG, 1-based", line, "pos", int(row["pos"]))
        )  # fmt: skip
    for column in ("chrom", "strand"):
        if row[column] != amplicon[column]:
            problems.append(
                Problem(
                    str(path),
                    f"differs from the amplicon's, {amplicon[column]}",
                    "correct one",
                    line,
                    column,
                    row[column],
                )
            )
    return problems


def _check_listing(rows, amplicon, reference, path):
    """CpGs listed twice, listed under a primer, or left out: each would be a silent gap in the counts."""
    problems = []
    for i in rows.index[rows["offset"].duplicated() & rows["offset"].notna()]:
        problems.append(
            Problem(str(path), "is listed twice", "keep one row", i + 2, "offset", int(rows.loc[i, "offset"]))
        )
    first, last = 0, len(reference)
    if pd.notna(amplicon["forward_primer"]) and pd.notna(amplicon["reverse_primer"]):
        first, last = len(amplicon["forward_primer"]), last - len(amplicon["reverse_primer"])
    for i in rows.index[rows["offset"].notna() & ((rows["offset"] < first) | (rows["offset"] >= last))]:
        problems.append(
            Problem(str(path), "lies under a primer, which is synthetic", "remove the row", i + 2, "offset",
                    int(rows.loc[i, "offset"]))
        )  # fmt: skip
    listed = set(rows["offset"].dropna().astype(int))
    for offset in [o for o in find_cpgs(reference) if first <= o < last and o not in listed]:
        problems.append(
            Problem(
                str(path), f"CpG of {rows['amplicon'].iloc[0]} is not listed", "add its row", None, "offset", offset
            )
        )
    return problems


def _check_known(table, known, path):
    return [
        Problem(str(path), "is not in cpgs.tsv", "correct the id", i + 2, "cpg_id", table.loc[i, "cpg_id"])
        for i in table.index[~table["cpg_id"].isin(known)]
    ]


def make_panel(reference, primers=None):
    """Make a panel of the records of a FASTA file, each an amplicon, with all CpGs listed and an index for each record.

    ``primers``: a table (amplicon, forward_primer, reverse_primer; bisulfite space, 5'→3') of amplicons in the file;
    their records are then cut to the product. Without it records are taken as they are. A record named like
    ``gene_chr5_1000_2000`` or ``chr5:1000-2000`` gives plus-strand coordinates (1-based, inclusive) if the length
    agrees; otherwise coordinates are NA. Returns `Panel`; raises `InputError`.
    """
    problems = []
    records = _read_references(Path(reference), problems)
    raise_if_any(problems)
    headers = record_headers(reference)
    known = {} if primers is None else _read_primers(Path(primers), records)
    amplicons, references, genes = [], {}, {}
    for record, sequence in records.items():
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", record)
        chrom, start, strand = placed_name(headers.get(record, record), len(sequence))
        pairs = known.get(record, [(None, None)])
        for i, (forward, reverse) in enumerate(pairs, 1):
            first, last = (0, len(sequence)) if forward is None else find_product(forward, reverse, sequence)
            label = name if len(pairs) == 1 else f"{name}_{i}"
            references[label] = sequence[first:last]
            before = first if strand == "+" else len(sequence) - last
            genes[label] = name
            amplicons.append({
                "amplicon": label, "chrom": chrom, "start": pd.NA if start is None else start + before,
                "end": pd.NA if start is None else start + before + last - first - 1, "strand": strand,
                "forward_primer": forward,
                "reverse_primer": reverse, "source": f"{Path(reference).name}: {record}",
            })  # fmt: skip
    return panel_of(amplicons, references, genes)


def find_product(forward, reverse, sequence):
    """Where two bisulfite-space primers amplify a sequence: first offset and one past the last.

    Raises `InputError` unless each primer matches in exactly one place, facing the other.
    """
    last = reverse_complement(reverse.upper())
    starts = [i for i in range(len(sequence) - len(forward) + 1)
              if not primer_mismatches(forward.upper(), sequence[i : i + len(forward)])]  # fmt: skip
    ends = [i + len(last) for i in range(len(sequence) - len(last) + 1)
            if not primer_mismatches(last, sequence[i : i + len(last)])]  # fmt: skip
    problems = [
        Problem("primers", f"matches the converted reference in {len(found)} places", "give a primer that matches once",
                value=primer)
        for primer, found in ((forward, starts), (reverse, ends))
        if len(found) != 1
    ]  # fmt: skip
    raise_if_any(problems)
    if ends[0] <= starts[0] + len(forward):
        raise_if_any([Problem("primers", "do not face each other", "exchange them", value=f"{forward} {reverse}")])
    return starts[0], ends[0]


def write_panel(panel, folder):
    """Write a panel as a folder that `read_panel` reads."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / "reference.fa") as part:
        part.write_text("".join(f">{name}\n{text}\n" for name, text in panel.references.items()), encoding="utf-8")
    tables = {"amplicons": panel.amplicons, "cpgs": panel.cpgs, "aliases": panel.aliases, "indices": panel.indices}
    for name, table in (tables | {"snp_mask": panel.snps}).items():
        write_table(table, folder / f"{name}.tsv")


def panel_of(amplicons, references, genes=None):
    """A panel of amplicons (dicts with the table's columns): all CpGs between primers, and one index for each gene.

    ``genes``: amplicon → gene, None: all are of one. The index of a single gene is region_mean, those of several
    {gene}_mean. A CpG that amplicons of a gene share counts once.
    """
    cpgs = []
    for row in amplicons:
        reference = references[row["amplicon"]]
        first, last = 0, len(reference)
        if row["forward_primer"] is not None:
            first, last = len(row["forward_primer"]), last - len(row["reverse_primer"])
        offsets = [o for o in find_cpgs(reference) if first <= o < last]
        width = len(str(len(offsets)))
        for i, offset in enumerate(offsets, 1):
            pos = row["start"] + offset if row["strand"] == "+" else row["end"] - offset - 1
            cpgs.append({
                "cpg_id": f"{row['amplicon']}_CpG{i:0{width}d}", "amplicon": row["amplicon"], "offset": offset,
                "chrom": row["chrom"], "pos": pos, "strand": row["strand"], "source": row["source"],
            })  # fmt: skip
    tables = {name: pd.DataFrame(columns=list(columns)) for name, columns in COLUMNS.items()}
    cpgs = pd.DataFrame(cpgs, columns=list(COLUMNS["cpgs"]))
    gene = cpgs["amplicon"].map(genes or dict.fromkeys(references, ""))
    indices = pd.DataFrame({"index": "region_mean", "cpg_id": cpgs["cpg_id"], "source": "every CpG listed"})
    if gene.nunique() > 1:
        indices["index"] = [f"{index_name(g)}_mean" for g in gene]
        indices["source"] = [f"every CpG of {g}" for g in gene]
    twice = cpgs.assign(gene=gene).duplicated(["gene", "chrom", "pos"]) & cpgs["pos"].notna()
    indices = indices[~twice].sort_values("index", key=lambda c: c.map({g: i for i, g in enumerate(c.unique())}),
                                          kind="stable", ignore_index=True)  # fmt: skip
    return Panel(
        name="made",
        amplicons=pd.DataFrame(amplicons, columns=list(COLUMNS["amplicons"])),
        references=references,
        cpgs=cpgs,
        aliases=tables["aliases"],
        indices=indices,
        snps=tables["snp_mask"],
    )


def index_name(gene):
    """A gene's name as an index is named: lower case, without marks."""
    return re.sub(r"[^a-z0-9]+", "_", str(gene).lower()).strip("_")


def _read_primers(path, records):
    table = _text_table(path)
    wanted = ("amplicon", "forward_primer", "reverse_primer")
    missing = [c for c in wanted if c not in table.columns]
    raise_if_any(
        [Problem(str(path), "column is missing", f"the columns are {', '.join(wanted)}", 1, c) for c in missing]
    )
    unknown = [i for i in table.index if table.loc[i, "amplicon"] not in records]
    raise_if_any([
        Problem(str(path), "is not in the reference", "correct the name", i + 2, "amplicon", table.loc[i, "amplicon"])
        for i in unknown
    ])  # fmt: skip
    raise_if_any([
        Problem(str(path), "is no primer", "use IUPAC codes, 5'→3'", i + 2, column)
        for column in wanted[1:] for i in table.index
        if pd.isna(table.loc[i, column]) or not table.loc[i, column] or set(table.loc[i, column].upper()) - set(IUPAC)
    ])  # fmt: skip
    return {name: list(zip(rows["forward_primer"], rows["reverse_primer"])) for name, rows in table.groupby("amplicon")}


LARGEST_PIECE = 50_000_000
# How the tools of the field name a piece of a genome: samtools faidx (also --mark-strand), Ensembl, UCSC, NCBI.
PLACED = (
    re.compile(r"chromosome:[\w.]+:(?P<chrom>\w+):(?P<start>\d+):(?P<end>\d+):(?P<strand>-?1)\b"),
    re.compile(r"range=(?P<chrom>\w+):(?P<start>\d+)-(?P<end>\d+)(?=.*\bstrand=(?P<strand>[-+]))"),
    re.compile(r"(?P<chrom>N[CTW]_\d+\.\d+):(?P<strand>c)(?P<end>\d+)-(?P<start>\d+)"),
    re.compile(r"(?P<chrom>N[CTW]_\d+\.\d+|chr[0-9A-Za-z]+|^[0-9XYMT]{1,2})[_:](?P<start>\d+)[_-](?P<end>\d+)"
               r"(?P<strand>/rc|\([-+]\)|$|(?=[\s_]))"),
)  # fmt: skip
SEX = {23: "X", 24: "Y"}
NCBI_HUMAN = re.compile(r"NC_0000(\d\d)\.\d+")


def placed_name(name, length):
    """Chromosome, first base and strand that a record's header says; NA, None and + where it says no place.

    Raises `InputError` where it says a place in a form that is not understood, or one that does not fit its length.
    """
    found = next((m for pattern in PLACED if (m := pattern.search(name))), None)
    if found is None:
        if re.search(r"\w+:c?\d+[-.]+\d+", name):
            what, remedy = "names a place in a form that is not understood", "name the record like chr5:1001-1360"
            raise InputError(Problem("reference", what, remedy, value=name.split()[0]))
        return pd.NA, None, "+"
    start, end = int(found["start"]), int(found["end"])
    if end - start + 1 != length:
        if found.re is not PLACED[-1] or found["strand"] in ("/rc", "(-)", "(+)") or ":" in found[0]:
            what = f"names a place of {end - start + 1} bases, but holds {length}"
            remedy = "cut the piece again, or name it without a place"
            raise InputError(Problem("reference", what, remedy, value=name.split()[0]))
        return pd.NA, None, "+"
    chrom = found["chrom"]
    if human := NCBI_HUMAN.fullmatch(chrom):
        number = int(human[1])
        chrom = f"chr{SEX.get(number, number)}"
    elif not chrom.startswith(("chr", "N")):
        chrom = f"chr{chrom}"
    return chrom, start, "-" if found["strand"] in ("/rc", "(-)", "-1", "-", "c") else "+"
