"""How large a small file may be, told before any of it is unpacked or taken into memory.

Sheets, layouts and plate readers' exports are megabytes at most. What is far beyond that is the wrong file, or one made
to exhaust the machine: archives that unpack a thousandfold, and XML that defines entities.
"""

import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.parsers import expat

from hpaxis.problems import Problem

LARGEST = 32_000_000  # bytes, as they stand and unpacked; 1,000 readings of a 384-well plate are about 25 MB
# Exports and workbooks shrink ten- to thirtyfold; repetition made to be unpacked, up to a thousandfold.
MOST_SHRUNK, SHRUNK_FROM = 100, 1_000_000
WRONG = "correct the path, or export the file again"


def size_problems(path: str | Path, largest: int = LARGEST) -> list[Problem]:
    """Return the `Problem` of a file of more than ``largest`` bytes, in a list. Raises OSError if it is absent."""
    size = Path(path).stat().st_size
    if size > largest:
        what = f"has {size / 1e6:,.0f} MB, and no such file has more than {largest / 1e6:,.0f}"
        return [Problem(str(path), what, WRONG)]
    return []


def zip_problems(path: str | Path, largest: int | None = LARGEST) -> list[Problem]:
    """Return the `Problem` of an archive that unpacks into too much, in a list; what is no archive has none.

    ``largest``: bytes of all its files, None for no limit. A file in it may not unpack into more than a hundred times
    its bytes. The sizes are those that the archive states; Python's ``zipfile`` never unpacks more than that.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            files = archive.infolist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return []
    total = sum(file.file_size for file in files)
    if largest is not None and total > largest:
        what = f"unpacks into {total / 1e6:,.0f} MB, and no such file into more than {largest / 1e6:,.0f}"
        return [Problem(str(path), what, WRONG)]
    if any(f.file_size > max(SHRUNK_FROM, MOST_SHRUNK * f.compress_size) for f in files):
        return [Problem(str(path), f"holds a part that unpacks into more than {MOST_SHRUNK} times its size", WRONG)]
    return []


def entity_problems(path: str | Path) -> list[Problem]:
    """Return the `Problem` of a workbook with a part that has a document type, in a list; see `zip_problems` first.

    Only a document type can define entities, which expand without bound; no spreadsheet program writes one.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as part:
                    if _has_doctype(part):
                        return [Problem(str(path), "holds XML with a document type, as no workbook does", WRONG)]
    except (OSError, ValueError, RuntimeError, EOFError, zlib.error, zipfile.BadZipFile):
        return []  # damaged, as whoever reads it will say
    return []


class _Told(Exception):
    """Raised inside the parser once the beginning of a document has told what it is."""


def _has_doctype(stream: Any) -> bool:
    found: list[bool] = []

    def doctype(*_: object) -> None:
        found.append(True)
        raise _Told

    def element(*_: object) -> None:
        raise _Told

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler, parser.StartElementHandler = doctype, element
    with suppress(_Told, expat.ExpatError, LookupError, ValueError):
        parser.ParseFile(stream)
    return bool(found)
