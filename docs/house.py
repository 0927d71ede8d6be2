"""The house as its imports draw it: `python docs/house.py` writes the pictures of CONTRIBUTING.md anew (`make house`).

A room is a folder of the library, or a module that lies beside such folders; an arrow goes from the room that imports
to the room that is imported. Floors are the rooms on the longest way along the arrows.
"""

import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "scripts" / "hpaxis"
sys.path.insert(0, str(ROOT / "scripts"))

from hpaxis.imports import imported  # noqa: E402

# What every room stands on; drawn as one room.
GROUND = ("config", "figures", "identifying", "imports", "labels", "names", "problems", "rows", "schemas", "settings",
          "sheets", "shipped", "sheet_files", "sizes", "tables", "workbooks")  # fmt: skip
BEGIN, END = "<!-- house: begin -->\n", "<!-- house: end -->\n"


def arrows(below=""):
    """Return the arrows between the rooms of a folder of the library, as a set of (room, imported room)."""
    prefix = ".".join(["hpaxis", *filter(None, [below])])
    found = set()
    for path in sorted((PACKAGE / below).rglob("*.py")):
        room = _room(path.relative_to(PACKAGE / below).with_suffix("").parts[0], below)
        for module, taken in imported(path.read_text(encoding="utf-8")):
            for name in [module, *(f"{module}.{t}" for t in taken)]:
                rest = name.removeprefix(f"{prefix}.")
                if rest != name and _room(rest.split(".")[0], below) in rooms(below):
                    found.add((room, _room(rest.split(".")[0], below)))
    return {(a, b) for a, b in found if a != b and not a.startswith("__")}


@cache
def rooms(below=""):
    """Return the names of the rooms of a folder of the library."""
    folder = PACKAGE / below
    names = {p.name for p in folder.iterdir() if (p / "__init__.py").is_file()}
    names |= {p.stem for p in folder.glob("*.py") if not p.stem.startswith("__")}
    return frozenset(_room(name, below) for name in names)


def floors(edges):
    """Return the number of rooms on the longest way; raises ValueError where arrows go in a circle."""

    def height(room, above=()):
        if room in above:
            raise ValueError(f"a circle of imports: {' -> '.join([*above, room])}")
        return 1 + max((height(b, (*above, room)) for a, b in edges if a == room), default=0)

    return max(height(room) for room, _ in sorted(edges))


def picture(edges):
    """Return arrows as a Mermaid diagram, without those that follow from others."""
    lines = [f"  {a} --> {b}" for a, b in sorted(edges) if not _follows(edges, a, b)]
    return "\n".join(["```mermaid", "graph TD", *lines, "```", ""])


def drawn():
    """Return the pictures with their numbers, as they stand in CONTRIBUTING.md."""
    parts = []
    for name, below in (("The library", ""), ("The stage methylation", "methylation")):
        edges = arrows(below)
        size = f"{len(rooms(below))} rooms, {floors(edges)} floors, {len(edges)} arrows"
        parts += [f"{name}: {size}; arrows that follow from others are not drawn.", "", picture(edges)]
    return "\n".join(parts)


def _room(name, below):
    return "ground" if name in GROUND and not below else name


def _follows(edges, a, b):
    """Whether another way leads from a to b."""
    waiting, seen = [y for x, y in edges if x == a and y != b], set()
    while waiting:
        room = waiting.pop()
        if room == b:
            return True
        if room not in seen:
            seen.add(room)
            waiting += [y for x, y in edges if x == room]
    return False


def main():
    """Write the pictures between the marks in CONTRIBUTING.md."""
    path = ROOT / "CONTRIBUTING.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    path.write_text(before + BEGIN + drawn() + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
