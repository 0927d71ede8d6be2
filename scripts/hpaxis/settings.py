"""What a study decides, as frozen objects: each key of a section of the config is an attribute.

They are made once, with the defaults of their schema, by `hpaxis.schemas.with_defaults`, and a job is given one with
the keys that it reads. Which keys each kind has, and their types, stands in `settings.pyi`, for the type checker: `make
reference` writes it from the schemas. Here all kinds are one.
"""

from collections.abc import Mapping
from typing import Any, NoReturn


class Settings(dict[str, Any]):
    """A section of the config. It cannot be changed: ``settings | {"key": value}`` makes another."""

    def __getattr__(self, key: str) -> Any:
        """Return the value of a key; raises AttributeError where it is not here."""
        if key in self:
            return self[key]
        raise AttributeError(f"there is no setting {key!r}; there are {', '.join(self)}")

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError('settings are frozen: make others with settings | {"key": value}')

    __setattr__ = __delattr__ = __setitem__ = __delitem__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __or__(self, other: Mapping[str, Any]) -> "Settings":
        """Return the settings with other values of some keys."""
        return Settings({**self, **other})

    __ior__ = __or__  # type: ignore[assignment]

    def __reduce__(self) -> tuple[type["Settings"], tuple[dict[str, Any]]]:
        """Pickle as a dict: a job's settings reach it so."""
        return Settings, (dict(self),)


Config, CohortSettings, CortisolSettings, LevelsSettings, MethylationSettings = (Settings,) * 5
ModerationSettings, ProgrammeSettings, SimulationSettings, WorthSettings = (Settings,) * 4
