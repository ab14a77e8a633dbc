"""Find the classifiers of other packages by the metadata that pip installs with them."""

import importlib
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

GROUP = "pipeline.classifiers"


def places_of_others() -> Mapping[str, str]:
    """Return where the classifiers of other packages are, as `package.module:Class`, by name.

    Reading the metadata of all installed packages, and importing what reads it, takes 20 ms. A verb
    asks some ten times, so it is read again only if the module path or a folder on it has changed.
    """
    return _read_places(tuple((folder, _changed_ns(folder)) for folder in sys.path))


@lru_cache(maxsize=1)
def _read_places(folders: tuple[tuple[str, int | None], ...]) -> Mapping[str, str]:
    entries = importlib.import_module("importlib.metadata").entry_points(group=GROUP)
    return MappingProxyType({entry.name: f"{entry.module}:{entry.attr}" for entry in entries})


def _changed_ns(folder: str) -> int | None:
    """Return when a folder's list of files changed, as it does when pip installs a package."""
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:  # it is not there: others on the module path may be
        return None
