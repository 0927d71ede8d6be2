"""Which input files were read through before without a problem, so that planning again is quick."""

import json
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


def _signature(path: str) -> list[int]:
    info = Path(path).stat()
    return [info.st_size, info.st_mtime_ns]
