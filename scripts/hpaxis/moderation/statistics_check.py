"""Printed statistics recomputed from each other: what follows from what, and what contradicts.

A printed number stands for every number that rounds to it. A recomputed one is therefore a range; a printed
value contradicts where its own range and the recomputed one do not meet (Nuijten et al., 2016).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from hpaxis.problems import InputError, Problem

# What each statistic may be called in a table of claims.
NAMES = {
    **{name.lower(): name for name in ("F", "df1", "df2", "R2", "dR2", "b", "SE", "t", "df", "p", "low", "high")},
    **{"f_value": "F", "delta_r2": "dR2", "estimate": "b"},
}
# Signs of a typesetter for those of a keyboard: minus, dashes, and spaces that do not break.
TYPOGRAPHIC = str.maketrans(
    {"−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "\u00a0": " ", "\u2009": " ", "\u202f": " "}
)
COLUMNS = ["claim", "statistic", "printed", "recomputed", "low", "high", "from", "verdict"]


def check_statistics(claims: pd.DataFrame | Iterable[Mapping[str, Any]], level: float = 0.95) -> pd.DataFrame:
    """Check printed statistics. Returns one row per statistic that follows from others of its claim.

    ``claims``: a list of dicts, or a data frame, one row per claim, cells as printed ("5.94", ".17", "p > .1" as
    "> .1"): name, F, df1, df2, R2, dR2, b, SE, t, df, p, low, high (interval of ``level``), difference_of
    ("treatment, control": this b is the first claim's b less the second's, in two independent arms). R2 is of
    the model the F tests; dR2 is what the tested terms add, then R2 is the whole model's. Columns: COLUMNS;
    verdict agrees, contradicts, or implied (recomputed, but not printed). p is two-sided; a one-sided p that
    agrees is said to be one. Raises `InputError` for cells that are no numbers.
    """
    rows: list[Any] = claims.to_dict("records") if isinstance(claims, pd.DataFrame) else list(claims)
    problems, results, known_claims = [], [], {}
    for i, row in enumerate(rows, start=1):
        name = str(row.get("name", f"claim {i}"))
        values = {}
        for key, cell in row.items():
            known = NAMES.get(str(key).strip().lower())
            if known is None or cell is None or str(cell).strip() in ("", "NA", "nan"):
                continue
            try:
                values[known] = Printed.read(cell)
                if known in ("df", "df1", "df2"):
                    values[known].take_whole_as_exact()
            except ValueError:
                what, remedy = "is no printed number", "write it as in the paper, such as .17 or < .001"
                problems.append(Problem("claims", what, remedy, row=i, column=str(key), value=cell))
        results += [(name, *r) for r in _check(values, level)]
        known_claims[name] = values
    if problems:
        raise InputError(problems)
    for row in rows:
        if isinstance(row.get("difference_of"), str):
            results += _difference(str(row["name"]), row["difference_of"], known_claims)
    return pd.DataFrame(results, columns=COLUMNS)


class Printed:
    """A printed number: its text, its value, and the range ``low`` to ``high`` it may stand for.

    Typographic minus signs and what stands before a sign (p < .001, b = −0.37) are read.
    """

    def __init__(self, text: str, value: float, low: float, high: float) -> None:
        self.text, self.value, self.low, self.high = text, value, low, high

    @classmethod
    def read(cls, cell: object) -> Printed:
        """Read a cell such as "5.94", ".013", "< .001" or "> .1"; raises ValueError."""
        text = str(cell).strip().translate(TYPOGRAPHIC)
        text = re.sub(r"^[A-Za-z][A-Za-z0-9]*\s*(?=[<>=≤≥])", "", text)
        text = text.replace("≤", "<").replace("≥", ">").lstrip("= ")
        match = re.fullmatch(r"([<>]?)\s*=?\s*(-?\d*\.?\d+)", text)
        if match is None:
            raise ValueError(text)
        value = float(match[2])
        decimals = len(match[2].partition(".")[2])
        half = 0.5 * 10.0**-decimals if "." in match[2] else 0.5
        if match[1] == "<":
            return cls(text, value, 0.0, value)
        if match[1] == ">":
            return cls(text, value, value, np.inf)
        return cls(text, value, value - half, value + half)

    def take_whole_as_exact(self) -> None:
        """Of degrees of freedom: 40 is 40, while 7.0 (Satterthwaite's) stands for 6.95 to 7.05."""
        if "." not in self.text:
            self.low = self.high = self.value

    @property
    def exact(self) -> bool:
        """Whether it is a plain number, not a bound."""
        return self.text[0] not in "<>"


def _check(v: Mapping[str, Printed], level: float) -> list[tuple[Any, ...]]:
    """Every rule whose inputs were printed."""
    out = []
    df = next((name for name in ("df", "df2") if name in v), None)
    if {"F", "df1", "df2"} <= v.keys():
        own = ("F", "df1", "df2")
        out.append(_compare(v, "p", "F, df1, df2", stats.f.sf, *own))
        if "dR2" not in v:
            out.append(_compare(v, "R2", "F, df1, df2", lambda F, d1, d2: F * d1 / (F * d1 + d2), *own))
    if {"df1", "df2"} <= v.keys() and "dR2" in v and "R2" in v:
        own = ("dR2", "R2", "df1", "df2")
        out.append(_compare(v, "F", "dR2, R2, df1, df2", lambda d, r, d1, d2: d / d1 / ((1 - r) / d2), *own))
    elif {"R2", "df1", "df2"} <= v.keys():
        own = ("R2", "df1", "df2")
        out.append(_compare(v, "F", "R2, df1, df2", lambda r, d1, d2: r / d1 / ((1 - r) / d2), *own))
        sf = stats.f.sf
        out.append(_compare(v, "p", "R2, df1, df2", lambda r, d1, d2: sf(r / d1 / ((1 - r) / d2), d1, d2), *own))
    if {"b", "SE"} <= v.keys():
        out.append(_compare(v, "t", "b, SE", lambda b, s: b / s, "b", "SE"))
        if df is not None:
            own, tail = ("b", "SE", df), (1 - level) / 2
            out.append(_compare(v, "p", "b, SE, df", lambda b, s, d: 2 * stats.t.sf(abs(b / s), d), *own))
            for end, sign in (("low", -1), ("high", 1)):
                if end in v:
                    out.append(_compare(v, end, "b, SE, df", lambda b, s, d, k=sign: b + k * stats.t.isf(tail, d) * s,
                                        *own))  # fmt: skip
    if "t" in v and df is not None:
        out.append(_compare(v, "p", "t, df", lambda t, d: 2 * stats.t.sf(abs(t), d), "t", df))
    if {"b", "p"} <= v.keys() and "SE" not in v and df is not None and v["p"].exact and v["p"].low > 0:
        out.append(_compare(v, "SE", "b, p, df", lambda b, p, d: abs(b) / stats.t.isf(p / 2, d), "b", "p", df))
    if {"b", "F"} <= v.keys() and "SE" not in v and v.get("df1") and v["df1"].value == 1:
        out.append(_compare(v, "SE", "b, F", lambda b, F: abs(b) / np.sqrt(F), "b", "F"))
    return out


def _difference(name: str, of: str, claims: Mapping[str, Mapping[str, Printed]]) -> list[tuple[Any, ...]]:
    """An interaction against the slopes of its two arms: b3 = b1 - b2, and SE3^2 = SE1^2 + SE2^2."""
    first, second = (claims.get(part.strip(), {}) for part in of.split(","))
    own, out = claims[name], []
    if "b" in first and "b" in second:
        joined = {**own, "b1": first["b"], "b2": second["b"]}
        out.append((name, *_compare(joined, "b", of, lambda a, b: a - b, "b1", "b2")))
    errors = [_error(v) for v in (own, first, second)]
    for i, claim in ((1, of.split(",")[0].strip()), (2, of.split(",")[1].strip())):
        other = errors[3 - i]
        if errors[0] is None or other is None or errors[i] is not None or errors[0].value <= other.value:
            continue
        joined = {"all": errors[0], "other": other}
        source = f"SE of {name} and of the other slope"
        out.append((claim, *_compare(joined, "SE", source, _remaining, "all", "other")))
    return out


def _remaining(everything: float, other: float) -> float:
    return np.sqrt(max(everything**2 - other**2, 0.0))


def _error(values: Mapping[str, Printed]) -> Printed | None:
    """The standard error of a claim: printed, or implied by b with F or with p and df."""
    if "SE" in values:
        return values["SE"]
    for row in _check(values, 0.95):
        if row[0] == "SE":
            return Printed(str(row[2]), *row[2:5])
    return None


def _compare(
    v: Mapping[str, Printed], target: str, source: str, formula: Callable[..., float], *inputs: str
) -> tuple[Any, ...]:
    """One recomputed statistic: its value, its range over what the inputs may stand for, and the verdict."""
    ends = [(v[i].low, v[i].value, v[i].high) for i in inputs]
    values = [formula(*combination) for combination in product(*ends)]
    recomputed = formula(*(v[i].value for i in inputs))
    low, high = float(np.min(values)), float(np.max(values))
    if target not in v:
        return target, "", recomputed, low, high, source, "implied"
    printed = v[target]
    # Rounding makes a closed range; a hair is added so that an end that meets counts.
    hair = 1e-9 * max(1.0, abs(recomputed))
    agrees = printed.low - hair <= high and printed.high + hair >= low
    verdict = "agrees" if agrees else "contradicts"
    if not agrees and target == "p" and printed.low - hair <= high / 2 and printed.high + hair >= low / 2:
        verdict = "contradicts: agrees as a one-sided p"
    return target, printed.text, recomputed, low, high, source, verdict
