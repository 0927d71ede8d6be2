"""IUPAC nucleotide codes, and reverse complements."""

# Each code as the set of bases it stands for.
IUPAC = {
    "A": "A", "C": "C", "G": "G", "T": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC",
    "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT",
}  # fmt: skip
COMPLEMENT = str.maketrans("ACGTRYSWKMBDHVN", "TGCAYRSWMKVHDBN")


def reverse_complement(sequence):
    """Reverse complement of an upper-case IUPAC sequence."""
    return sequence.translate(COMPLEMENT)[::-1]
