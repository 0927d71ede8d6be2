"""Which input files need not be read when a study is planned: known ones, and those that are not here yet."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from hpaxis.tables import whole_file


class CheckedFiles:
    """Files known to be in order by their size and time; kept in the file ``cache``, where one is given."""

    def __init__(self, cache: str | Path | None = None):
        self._cache = cache
        try:
            self._known = json.loads(Path(cache).read_text(encoding="utf-8")) if cache else {}
        except (OSError, ValueError):
            self._known = {}

    def hold(self, paths: Iterable[str]) -> bool:
        """Whether all these files are known, and have not changed since."""
        return all(self._known.get(path) == _signature(path) for path in paths)

    def add(self, paths: Iterable[str]) -> None:
        """Remember files as they are now."""
        self._known.update({path: _signature(path) for path in paths})

    def save(self) -> None:
        """Write what is known to the cache."""
        if self._cache is not None and self._known:
            with whole_file(self._cache) as part:
                part.write_text(json.dumps(self._known, indent=0, sort_keys=True), encoding="utf-8")


class Elsewhere:
    """Paths that planning does not ask for: below ``made``, which the workflow makes, and what only a storage has.

    ``stored`` holds those that were asked about and that a storage should have.
    """

    def __init__(self, made: str | Path | None = None, in_storage: bool = False):
        self._made = f"{Path(made)}/" if made else None
        self._in_storage = in_storage
        self.stored: set[str] = set()

    def holds(self, path: str) -> bool:
        """Whether a path is one of them."""
        if self._made is not None and path.startswith(self._made):
            return True
        if self._in_storage and not os.path.exists(path):
            self.stored.add(path)
        return path in self.stored


def _signature(path: str) -> list[int]:
    info = Path(path).stat()
    return [info.st_size, info.st_mtime_ns]
