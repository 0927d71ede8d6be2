"""Which libraries are counted by one job: small ones together, since a job's start costs as much as counting one."""

from collections.abc import Mapping
from zlib import crc32


def batches(sizes: Mapping[str, float], most: int, small: float) -> dict[str, list[str]]:
    """Return the libraries that share a job, by the batch's name; a library that is in none has a job of its own.

    ``sizes``: library to bytes of its reads; ``most``: libraries per job, on average at most; ``small``: a library
    with more bytes is counted alone. A library's batch follows from its id and the number of batches, a power of two,
    so that one library more or less changes one batch, not all.
    """
    together = sorted(name for name, size in sizes.items() if size <= small)
    if most < 2 or len(together) < 2:
        return {}
    number = 1
    while number * most < len(together):
        number *= 2
    found: dict[str, list[str]] = {}
    for name in together:
        found.setdefault(f"{crc32(name.encode()) % number + 1:03d}", []).append(name)
    return dict(sorted(found.items()))
