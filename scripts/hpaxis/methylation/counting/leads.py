"""Bases that reads show before the amplicon begins: a UMI or a spacer that nobody declared."""

from __future__ import annotations

import numpy as np

from hpaxis.methylation.counting.reads import windows

COLUMNS = ("lead_1", "lead_share_1", "lead_letters_1", "lead_2", "lead_share_2", "lead_letters_2")
# The first reads are enough: a library is made in one way.
JUDGED, LONGEST = 4_000, 40


class LeadTally:
    """How many bases stand before the amplicon in each mate's first reads, and how varied they are."""

    def __init__(self) -> None:
        self.left = JUDGED
        self.lengths = [np.zeros(LONGEST + 1, dtype=np.int64) for _ in range(2)]
        # By number of bases before the amplicon: how often each letter stands in each place.
        self.letters = [np.zeros((LONGEST + 1, LONGEST, 4), dtype=np.int64) for _ in range(2)]

    def add(self, targets: list, reads: list, places: list) -> None:
        """Take a chunk of reads with the `placement.Placement` of each mate."""
        if self.left <= 0:
            return
        sizes = np.array([len(target) for target in targets])
        for number, (mate, place) in enumerate(zip(reads, places, strict=True)):
            rows = np.flatnonzero(place.target[: self.left] >= 0)
            ends = np.where(place.forward[rows], -place.anchor[rows], place.anchor[rows] - sizes[place.target[rows]])
            lead = np.clip(ends, 0, LONGEST)
            self.lengths[number] += np.bincount(lead, minlength=LONGEST + 1)
            for length in np.unique(lead[lead > 0]).tolist():
                bases = windows(mate.data, mate.sequence[rows[lead == length]], length)
                for i, letter in enumerate(b"ACGT"):
                    self.letters[number][length, :length, i] += np.count_nonzero(bases == letter, axis=0)
        self.left -= len(reads[0])

    def columns(self) -> dict:
        """The commonest number of bases before the amplicon (0: none), the share of reads, and the letters in use.

        ``lead_letters``: how many letters stand in each place, as 2 to the entropy: 1 for a fixed spacer, nearly 4 for
        random bases.
        """
        found = dict.fromkeys(COLUMNS)
        for number in range(2):
            lengths = self.lengths[number]
            if not lengths.sum():
                continue
            lead = int(lengths.argmax())
            found[f"lead_{number + 1}"] = lead
            found[f"lead_share_{number + 1}"] = float(lengths[lead] / lengths.sum())
            if lead:
                counts = self.letters[number][lead, :lead].astype(float)
                share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
                entropy = -(share * np.log2(np.where(share > 0, share, 1))).sum(axis=1)
                found[f"lead_letters_{number + 1}"] = float(2 ** entropy.mean())
        return found
