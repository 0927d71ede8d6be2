"""What a line of the self-check is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One check: what is checked, by which generator, the figure, what it must be, and whether it is."""

    what: str
    generator: str
    figure: str
    must: str
    passed: bool

    def cells(self) -> tuple[str, ...]:
        """The line as cells of a table."""
        return "pass" if self.passed else "**FAIL**", self.what, self.generator, self.figure, self.must


def within(what: str, generator: str, value: float, low: float, high: float, digits: int = 3, unit: str = "") -> Line:
    """A figure that must lie between two others."""
    must = f"{low:.{digits}f} to {high:.{digits}f}{unit}"
    return Line(what, generator, f"{value:.{digits}f}{unit}", must, bool(low <= value <= high))
