"""Random numbers that depend on the seed and on what they are for, never on order, cores or time."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, *keys: object) -> np.random.Generator:
    """Return a generator for ``keys`` (texts such as the model and the method) under the study's ``seed``."""
    return np.random.default_rng(
        np.random.SeedSequence(seed, spawn_key=tuple(zlib.crc32(str(k).encode()) for k in keys))
    )
