"""Apply `--set` to recorded values: a new value takes back what it replaces."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from hpc.run.cluster import resources
from pipeline.config import yaml_file

# A correction of one key takes the other one back.
_ALTERNATIVES = (
    *resources.ALTERNATIVES,
    ("max_time", "max_time_min"),
    ("api_key_env", "api_key_file"),
)


# What follows another key unless a configuration sets it.
_FOLLOWERS = (("classifier.price.cached", "classifier.price.prompt"),)


def override_values(
    values: Mapping[str, Any], overrides: Sequence[str], paths: Sequence[str]
) -> dict[str, Any]:
    """Return the values with the overrides, and without what these replace."""
    after = deepcopy(dict(values))
    for path in paths:
        parent, _, name = path.rpartition(".")
        for alternatives in _ALTERNATIVES:
            for other in alternatives:
                if name in alternatives and f"{parent}.{other}" not in paths:
                    _remove(after, f"{parent}.{other}")
    for follower, leader in _FOLLOWERS:
        value = _value_at(values, leader)
        if leader in paths and value is not None and _value_at(values, follower) == value:
            _remove(after, follower)
    for override in overrides:
        yaml_file.apply_override(after, override)
    return after


def _value_at(values: Mapping[str, Any], path: str) -> object:
    inner: Any = values
    for name in path.split("."):
        inner = inner.get(name) if isinstance(inner, Mapping) else None
    return inner


def _remove(values: dict[str, Any], path: str) -> None:
    *parents, last = path.split(".")
    inner: Any = values
    for parent in parents:
        inner = inner.get(parent) if isinstance(inner, dict) else None
    if isinstance(inner, dict):
        inner.pop(last, None)
