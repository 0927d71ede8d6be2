"""A second generator of studies. It shares no code with `hpaxis.simulation`, and none of its assumptions.

Children's levels are beta distributed, CpGs of a molecule follow a Markov chain (not a decay by distance),
templates are copied unevenly by a branching process, every cytosine of a library fails to convert alike, read quality
falls in steps, reads have no adapters, and outcomes have heavy tails. It reads the panel's files as text, and imports
nothing of hpaxis.
"""

import csv
import gzip
from pathlib import Path

import numpy as np

COMPLEMENT = bytes.maketrans(b"ACGT", b"TGCA")
READ = 250
STEPS = [(0, 37), (150, 33), (220, 26)]  # cycle from which a read has this quality
ERROR = 0.002
KEPT = 0.7  # correlation of neighbouring CpGs on a molecule
SLOPES = {"control": -0.5, "treatment": 0.4}


class Amplicon:
    """The sense strand, its CpGs and its other cytosines, and how much primers cover."""

    def __init__(self, folder: Path):
        text = "".join(x.strip() for x in (folder / "reference.fa").read_text().splitlines() if x[0] != ">")
        self.bases = np.frombuffer(text.replace("Y", "C").encode(), dtype="S1").copy()
        with open(folder / "cpgs.tsv", encoding="utf-8") as handle:
            self.cpgs = np.array([int(row["offset"]) for row in csv.DictReader(handle, delimiter="\t")])
        cytosines = np.flatnonzero(self.bases == b"C")
        self.others = np.setdiff1d(cytosines, self.cpgs)
        with open(folder / "amplicons.tsv", encoding="utf-8") as handle:
            row = next(csv.DictReader(handle, delimiter="\t"))
        self.forward, self.reverse = row["forward_primer"].encode(), row["reverse_primer"].encode()


def library(amplicon: Amplicon, level: float, failure: float, pairs: int, rng: np.random.Generator) -> list[bytes]:
    """Molecules of one library, converted and amplified."""
    templates = 4 * pairs
    share = np.clip(level * rng.dirichlet(np.full(len(amplicon.cpgs), 6.0)) * len(amplicon.cpgs), 0, 1)
    share *= level / share.mean()
    state = np.empty((templates, len(amplicon.cpgs)), dtype=bool)
    state[:, 0] = rng.random(templates) < share[0]
    for j in range(1, len(amplicon.cpgs)):
        fresh = rng.random(templates) < share[j]
        # A neighbour's state is kept where that leaves the share as it must be.
        keep = (rng.random(templates) < KEPT) & (abs(share[j] - share[j - 1]) < 0.01)
        state[:, j] = np.where(keep, state[:, j - 1], fresh)
    copies = np.ones(templates)
    for _ in range(8):
        copies += rng.binomial(copies.astype(int), 0.8)
    drawn = rng.choice(templates, pairs, p=copies / copies.sum())
    unconverted = rng.random((templates, len(amplicon.bases))) < failure
    read_as_c = np.zeros((templates, len(amplicon.bases)), dtype=bool)
    read_as_c[:, amplicon.others] = unconverted[:, amplicon.others]
    read_as_c[:, amplicon.cpgs] = state | unconverted[:, amplicon.cpgs]
    bases = np.where((amplicon.bases == b"C") & ~read_as_c[drawn], b"T", amplicon.bases)
    first, last = len(amplicon.forward), len(amplicon.bases) - len(amplicon.reverse)
    end = amplicon.reverse.translate(COMPLEMENT)[::-1]
    return [amplicon.forward + row[first:last].tobytes() + end for row in bases]


def write_reads(molecules: list[bytes], paths: list[Path], rng: np.random.Generator) -> None:
    """Both mates of every molecule, from either end."""
    quality = np.empty(READ, dtype=np.uint8)
    for start, phred in STEPS:
        quality[start:] = phred + 33
    texts: tuple[list[bytes], list[bytes]] = ([], [])
    for i, molecule in enumerate(molecules):
        mates = [molecule[:READ], molecule.translate(COMPLEMENT)[::-1][:READ]]
        for text, mate in zip(texts, mates if rng.random() < 0.5 else mates[::-1]):
            letters = np.frombuffer(mate, dtype="S1").copy()
            wrong = np.flatnonzero(rng.random(len(letters)) < ERROR)
            letters[wrong] = rng.choice([b"A", b"C", b"G", b"T"], len(wrong))
            text.append(b"@m%d\n%s\n+\n%s\n" % (i, letters.tobytes(), quality[: len(letters)].tobytes()))
    for path, text in zip(paths, texts):
        path.write_bytes(gzip.compress(b"".join(text), 1, mtime=0))


def write_study(folder: Path, panel: Path, children: int, pairs: int, seed: int, confounded: bool = False) -> dict:
    """Write a study; return its truth: level and failure of conversion by child.

    ``confounded``: the treated arm's libraries convert worse, and nothing else differs between the arms.
    """
    rng = np.random.default_rng([seed, 77])
    amplicon = Amplicon(panel)
    folder.mkdir(parents=True, exist_ok=True)
    level = 0.015 + 0.03 * rng.beta(2, 3, children)
    arm = np.array(["control", "treatment"])[rng.permutation(children) % 2]
    failure = rng.uniform(0.002, 0.012, children)
    if confounded:
        failure = np.where(arm == "treatment", rng.uniform(0.012, 0.018, children), rng.uniform(0.002, 0.004, children))
    z = (level - 0.027) / 0.006
    outcome = 50 + 10 * (np.vectorize(SLOPES.get)(arm) * z + 0.6 * rng.standard_t(5, children))
    with open(folder / "libraries.tsv", "w", encoding="utf-8") as sheet:
        sheet.write("library_id\tparticipant_id\ttimepoint\tfastq_1\tfastq_2\tinput_ng\n")
        for i in range(children):
            paths = [folder / f"S{i:03d}_R{mate}.fastq.gz" for mate in (1, 2)]
            write_reads(library(amplicon, level[i], failure[i], pairs, rng), paths, rng)
            sheet.write(f"S{i:03d}\tk{i:03d}\tonce\t{paths[0].name}\t{paths[1].name}\t200\n")
    with open(folder / "participants.tsv", "w", encoding="utf-8") as sheet:
        sheet.write("participant_id\trole\tarm\tscore\n")
        for i in range(children):
            sheet.write(f"k{i:03d}\tchild\t{arm[i]}\t{outcome[i]:.4f}\n")
    return {"level": level, "failure": failure, "arm": arm, "outcome": outcome}


def cohort(n: int, rng: np.random.Generator, slopes: tuple[float, float], tails: float = 5.0) -> tuple[np.ndarray, ...]:
    """Arm, predictor and outcome of a study without reads: gamma predictor, heavy tails, simple randomisation."""
    arm = rng.permutation(n) % 2
    x = (rng.gamma(3.0, size=n) - 3) / np.sqrt(3)
    noise = rng.standard_t(tails, n) / np.sqrt(tails / (tails - 2))
    return arm, x, np.array(slopes)[arm] * x + 0.3 * arm + noise
