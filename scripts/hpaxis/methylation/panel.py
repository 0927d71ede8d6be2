"""A panel: the amplicons a study measures, their reference, primers and CpG registry, as a folder of tables."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hpaxis.problems import Problem, raise_if_any

# IUPAC nucleotide codes as the set of bases each stands for.
IUPAC = {
    "A": "A", "C": "C", "G": "G", "T": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC",
    "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT",
}  # fmt: skip
COMPLEMENT = str.maketrans("ACGTRYSWKMBDHVN", "TGCAYRSWMKVHDBN")
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
FILES = ("reference.fa", *(f"{name}.tsv" for name in COLUMNS))


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


def reverse_complement(sequence):
    """Reverse complement of an upper-case IUPAC sequence."""
    return sequence.translate(COMPLEMENT)[::-1]


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


def _read_references(path, problems):
    references, name = {}, None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
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
    table = pd.read_csv(path, sep="\t", dtype="str", na_values=["NA"], keep_default_na=False, comment=None)
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
    return table.reindex(columns=list(wanted))


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
                    "add it, or mend the name",
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
                        "mend the coordinates (1-based, both ends included)", line, "end", int(row["end"]))
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
                Problem(str(path), "is not in amplicons.tsv", "mend the name", line, "amplicon", row["amplicon"])
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
                    str(path), f"differs from the amplicon's, {amplicon[column]}", "mend one", line, column, row[column]
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
        Problem(str(path), "is not in cpgs.tsv", "mend the id", i + 2, "cpg_id", table.loc[i, "cpg_id"])
        for i in table.index[~table["cpg_id"].isin(known)]
    ]
