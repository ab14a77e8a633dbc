"""List the keys that `--set` can give a value, with the values that each may have."""

from collections.abc import Iterable, Iterator, Mapping

from hpc.config.run_config import ConfigurationFile
from pipeline.classifiers import registry
from pipeline.classifiers.frozen_classifier import TYPE
from pipeline.config.expected import choices_of
from pipeline.config.keys import Key, keys_of, not_null, section_in, unwrap_type
from pipeline.errors import InputError

_CLASSIFIER = "classifier"


def of_installed() -> Mapping[str, tuple[str, ...]]:
    """Return the keys with those of all classifiers that can be imported."""
    return settable_keys(kind for kind in registry.list_installed() if _can_be_imported(kind))


def _can_be_imported(kind: str) -> bool:
    try:
        registry.load(kind)
    except InputError:
        return False
    return True


def settable_keys(kinds: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Return every key by its path, with its values if there are only some, sorted by path.

    Args:
        kinds: the classifiers whose keys to list.
    """
    names = tuple(kinds)
    found = dict(_keys_below(ConfigurationFile, ""))
    for kind in names:
        for path, values in _keys_below(registry.load(kind).options_type, f"{_CLASSIFIER}."):
            found[path] = tuple(dict.fromkeys([*found.get(path, ()), *values]))
    found[f"{_CLASSIFIER}.{TYPE}"] = names
    found.pop(_CLASSIFIER, None)
    return dict(sorted(found.items()))


def _keys_below(section: type, prefix: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, key in keys_of(section).items():
        if key.facts.recorded:
            continue
        inner = section_in(key.annotation)
        if inner and unwrap_type(not_null(key.annotation)) is inner:
            yield from _keys_below(inner, f"{prefix}{name}.")
        elif inner is None:
            yield f"{prefix}{name}", _values(key)


def _values(key: Key) -> tuple[str, ...]:
    annotation = not_null(key.annotation)
    if unwrap_type(annotation) is bool:
        return "true", "false"
    return choices_of(annotation)
