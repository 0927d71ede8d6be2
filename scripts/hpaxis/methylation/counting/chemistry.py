"""What a library's chemistry does to cytosines, and so what its reads show.

Bisulfite and EM-seq turn unmethylated cytosines into T. TAPS and 5-base turn methylated ones: polarity is reversed,
for CpGs and for the cytosines outside CpGs that tell how often the chemistry errs. Native reads (nanopore, PacBio) are
not converted at all; their basecaller says how likely each cytosine is methylated.
"""

TURNED = ("taps", "5-base")
NATIVE = "native"
CONVERTED = ("bisulfite", "em-seq", *TURNED)


def is_turned(chemistry: str) -> bool:
    """Return whether a methylated cytosine reads T."""
    return chemistry in TURNED
