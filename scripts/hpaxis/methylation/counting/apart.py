"""Whether a panel's amplicons can be told apart at a read length, by placing each amplicon's own reads."""

from __future__ import annotations

import numpy as np

from hpaxis.methylation.counting.placement import WordIndex
from hpaxis.methylation.counting.reads import Reads, read_chunks
from hpaxis.methylation.counting.target import Target, panel_targets
from hpaxis.methylation.panels.nucleotides import COMPLEMENT
from hpaxis.methylation.panels.panel import Panel

JUDGED = 200


def confused_amplicons(panel: Panel, length: int, paired: bool) -> dict[str, str]:
    """Amplicons whose own reads of this length are not found on them: name → what becomes of the reads.

    A product wholly converted and one with every CpG methylated are read from both ends. Of pairs one mate must be
    placed, and none elsewhere; single reads must be placed from either end.
    """
    targets = panel_targets(panel)
    first = {target.amplicon: i for i, target in reversed(list(enumerate(targets)))}
    if len(first) < 2:
        return {}
    index = WordIndex([(i, targets[i]) for i in first.values()])
    found = {}
    for name, own in first.items():
        texts = [end[:length] for product in _products(targets[own]) for end in _ends(product)]
        place = index.place(_reads(texts))
        elsewhere = sorted({targets[i].amplicon for i in place.target.tolist() if i not in (-1, own)})
        here = (place.target == own).reshape(-1, 2)
        if elsewhere:
            found[name] = f"are taken for those of {', '.join(elsewhere)}"
        elif not (here.any(axis=1) if paired else here.all(axis=1)).all():
            found[name] = "lie in more than one amplicon alike"
    return found


def read_length(paths: list[str], interleaved: bool = False) -> int:
    """Longest of the first reads of a library's files; 0 without any."""
    for reads in read_chunks(paths, chunk_bytes=1_000_000, interleaved=interleaved):
        return max(int(mate.length[:JUDGED].max(initial=0)) for mate in reads)
    return 0


def _products(target: Target) -> list[str]:
    """The product as it is sequenced, converted but for its CpGs, and converted as a whole."""
    cytosine, converted = target.cytosine, target.converted
    letters = [{"Y": "T", "R": "A"}.get(base, base) for base in target.reference]
    kept = set(target.cpgs.tolist())
    return [
        "".join(converted if b == cytosine and i not in stays else b for i, b in enumerate(letters))
        for stays in (kept, set())
    ]


def _ends(product: str) -> list[str]:
    return [product, product.translate(COMPLEMENT)[::-1]]


def _reads(texts: list[str]) -> Reads:
    """`Reads` of bare sequences."""
    pad = 400
    length = np.array([len(text) for text in texts], dtype=np.int64)
    start = pad + np.concatenate([[0], np.cumsum(length)[:-1]])
    data = np.zeros(2 * pad + int(length.sum()), dtype=np.uint8)
    data[pad : pad + int(length.sum())] = np.frombuffer("".join(texts).encode("ascii"), dtype=np.uint8)
    nothing = np.zeros(len(texts), dtype=np.int64)
    return Reads(data, nothing, nothing, start, start, length)
