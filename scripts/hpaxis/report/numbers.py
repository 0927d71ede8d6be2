"""Numbers as text in APA style: one function a kind of number.

A true minus sign, no leading zero where a number cannot exceed 1 in size by definition, exact p values
down to .001, and a dash for what is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

MISSING = "–"
MINUS = "−"


def fixed(value: float | None, digits: int = 2) -> str:
    """Return ``value`` with ``digits`` decimals."""
    if _absent(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{abs(value):.{digits}f}"
    return f"{MINUS}{text}" if value < 0 and float(text) != 0 else text


def degrees(value: float | None) -> str:
    """Return degrees of freedom: whole, or with one decimal."""
    return fixed(value, 0 if _absent(value) or value == round(value) else 1)


def bounded(value: float | None, digits: int = 2) -> str:
    """Return a number that lies in -1 to 1 by definition (a p, an r, an R²), without its leading zero."""
    text = fixed(value, digits)
    return text.replace("0.", ".", 1) if text.lstrip(MINUS).startswith("0.") else text


def p_value(p: float | None) -> str:
    """Return the cell of a p column: ``.013``, ``< .001`` or ``> .999``."""
    if _absent(p):
        return MISSING
    if p < 0.001:
        return "< .001"
    if p > 0.999:
        return "> .999"
    return bounded(p, 3)


def p_phrase(p: float | None) -> str:
    """Return what follows the letter p in a sentence: ``= .013`` or ``< .001``."""
    text = p_value(p)
    return text if text[0] in "<>" else f"= {text}"


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Return ``[low, high]``."""
    if _absent(low) and _absent(high):
        return MISSING
    return f"[{fixed(low, digits)}, {fixed(high, digits)}]"


def percent(fraction: float | None, digits: int = 2) -> str:
    """Return a fraction as percent: ``.0276`` is ``2.76%``."""
    return MISSING if _absent(fraction) else f"{fixed(100 * fraction, digits)}%"


def percent_interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Return an interval of fractions as percent: ``[2.1%, 3.4%]``."""
    if _absent(low) and _absent(high):
        return MISSING
    return f"[{percent(low, digits)}, {percent(high, digits)}]"


def count(n: float | None) -> str:
    """Return a whole number with thousands marked: ``12,345``."""
    return MISSING if _absent(n) else f"{round(n):,}".replace("-", MINUS)


def significant(value: float | None, digits: int = 3) -> str:
    """Return ``value`` with about ``digits`` significant digits, for quantities whose scale differs by study."""
    if _absent(value) or math.isinf(value) or value == 0:
        return fixed(value, 0)
    return fixed(value, max(0, digits - 1 - math.floor(math.log10(abs(value)))))


def digits_for(se: float, least: int = 2, most: int = 4) -> int:
    """Return how many decimals an estimate needs so that its standard error shows two significant digits."""
    if _absent(se) or se <= 0 or math.isinf(se):
        return least
    return min(most, max(least, 1 - math.floor(math.log10(se))))


def plural(n: int, noun: str, many: str | None = None) -> str:
    """Return ``1 library`` or ``12 libraries``."""
    return f"{count(n)} {noun if n == 1 else many or noun + 's'}"


def agreeing(number: str, one: str, many: str) -> str:
    """Return the verb of a count as it is printed: that of one for ``1`` and ``1 of 20``, not for ``1–4 of 20``."""
    return one if number == "1" or number.startswith("1 of ") else many


def words(items: Iterable[object]) -> str:
    """Join words as a sentence does: ``a``, ``a and b``, ``a, b and c``."""
    items = [str(item) for item in items]
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else ""


def _absent(value: float | None) -> bool:
    return value is None or value != value
