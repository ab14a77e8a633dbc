"""Read the configuration's YAML as a mapping, apply `--set a.b=value`, and check nothing yet."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.config import strict_yaml
from pipeline.config.check import shown
from pipeline.config.strict_yaml import InvalidYaml
from pipeline.errors import InputError
from pipeline.limits import YAML_LEVELS
from pipeline.messages.options import OVERRIDES

# The beginnings of a text that YAML rejects: a character that stands for something else there, or a
# quoted part that more follows.
_TEXT_WITHOUT_QUOTES = re.compile(
    r"""[*%@`]|"(?:[^"\\]|\\.)*"\s*[^\s#]|'(?:[^']|'')*'\s*[^\s#]""", re.DOTALL
)


def read_mapping(path: Path, overrides: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read a YAML file and apply `a.b=value` overrides, whose values are YAML too.

    Raises:
        UnreadableError: the file cannot be read now.
        InputError: the file or an override is not a mapping of keys, or not valid YAML.
    """
    values = _read(path)
    for override in overrides:
        apply_override(values, override)
    return values


def _read(path: Path) -> dict[str, Any]:
    try:
        values = strict_yaml.read_file(path)
    except OSError as error:
        raise InputError(f"the configuration {path} cannot be read: {error.strerror}") from None
    except InvalidYaml as error:
        raise InputError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} should be a mapping of keys: see docs/reference/configuration.md")
    return values


def apply_override(values: dict[str, Any], override: str) -> None:
    """Set one key of a mapping, in place.

    Args:
        values: the mapping.
        override: a key's path and its value in YAML, such as `sharding.shards=10`. A text that
            YAML could not read anyway needs no quotes, such as `backlog.source=**/*.csv`.

    Raises:
        InputError: it is not such a text, or leads to a value that holds no keys.
    """
    keys, equals, text = override.partition("=")
    if not equals or not keys:
        raise InputError(f"{OVERRIDES} {shown(override)}: should look like sharding.shards=10")
    *parents, last = keys.strip().split(".")
    if len(parents) > YAML_LEVELS:
        raise InputError(
            f"{OVERRIDES} {shown(override)}: no key lies more than {YAML_LEVELS} levels deep"
        )
    inner: Any = values
    for parent in parents:
        if isinstance(inner, dict) and inner.get(parent) is None:
            inner[parent] = {}
        inner = inner[parent] if isinstance(inner, dict) else None
    if not isinstance(inner, dict):
        raise InputError(f"{OVERRIDES} {shown(override)}: {'.'.join(parents)} holds no keys")
    try:
        inner[last] = strict_yaml.read(text)
    except InvalidYaml as error:
        if not _can_only_be_text(text):
            raise InputError(
                f"{OVERRIDES} {shown(override)}: the value is not valid YAML: {error}"
            ) from None
        inner[last] = text.strip()


def overridden_paths(overrides: Sequence[str]) -> tuple[str, ...]:
    """Return the paths of the keys that `a.b=value` overrides set."""
    return tuple(override.partition("=")[0].strip() for override in overrides)


def _can_only_be_text(text: str) -> bool:
    """Tell whether a value that is not YAML is a text that a person left without YAML's quotes.

    Such as the glob `**/*.csv`, which YAML takes for an alias, or the condition `"lang" = 'en'`.
    """
    return bool(_TEXT_WITHOUT_QUOTES.match(text.strip()))
