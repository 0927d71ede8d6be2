"""Where a reference has bases too many or too few, told from which of its bases differ when it is moved."""

import numpy as np

# A gap, unlike variants, explains at least so many differences.
EXPLAINED = 4


def one_gap(differ: dict[int, np.ndarray], anchored: str | None = None) -> tuple[int, int, int] | None:
    """Return (bases too many, offset, differences left) of the one gap that explains most; None where none does.

    ``differ``: shift → for each base of the reference, whether it differs from the other text that many bases further;
    0 is among the shifts. On one side of the gap the shift is 0: ``before`` or ``after`` it where ``anchored`` says so,
    else either. Bases too many are negative where the reference lacks some. A gap must explain `EXPLAINED` differences
    more than no gap, or than a reference that lies off as a whole.
    """
    here = np.concatenate([[0], np.cumsum(differ[0])])
    whole = [values.sum() for shift, values in differ.items() if anchored is None or shift == 0]
    best, found = int(min(whole)) - EXPLAINED + 1, None
    for shift in sorted((s for s in differ if s), key=abs):
        moved = np.concatenate([[0], np.cumsum(differ[shift])])
        for side, cost in (("before", here + moved[-1] - moved), ("after", moved + here[-1] - here)):
            if anchored in (None, side) and cost.min() < best:
                best = int(cost.min())
                more = -shift if side == "before" else shift
                found = more, int(np.argmin(cost)), best
    return found


def gap_words(more: int, offset: int, other: str) -> str:
    """Return a gap in words."""
    number = f"{abs(more)} base{'s' if abs(more) > 1 else ''} {'more' if more > 0 else 'fewer'}"
    return f"the panel has {number} than the {other} at about offset {offset}"
