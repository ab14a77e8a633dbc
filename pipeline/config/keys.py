"""Declare keys once, each in a class, with its type, default, range, unit and one sentence.

The checks (`check`), the typed values, the JSON Schema (`schema`) and the reference page
(`reference`) all come from these declarations. Pure.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Annotated, Any, TypedDict, Unpack

import msgspec
from msgspec import NODEFAULT, Meta, Struct

# Some months in seconds. Python's own waits end with an OverflowError past 10**10.
LONGEST_TIME = 10_000_000

_FACTS, _EXPECTS, _CHOICES = "facts", "expects", "choices"


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of keys: frozen, compared by content, with a declared type for each key.

    A subclass (`class Part(Section, frozen=True, kw_only=True)`) declares each key with `key` or
    `label_key`:

        rows: Annotated[Positive, key("Write a part after this many answers.")] = 500

    Rules that a type cannot state belong in `__post_init__`, which raises `Wrong`.
    """

    def to_json(self) -> dict[str, object]:
        """Return the keys and values as JSON has them, in the order of declaration."""
        return {
            name: _to_json(getattr(self, name))
            for name, key in keys_of(type(self)).items()
            if not (key.facts.omit_default and getattr(self, name) == key.default)
        }


class Wrong(ValueError):
    """A rule that the values of a section break.

    Args:
        key: the key whose value is to be changed, '' for the section as a whole.
        problem: what is wrong with it; it follows the key's path.
    """

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key
        self.problem = problem


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a declaration says about a key beside its type, default and description.

    Attributes:
        unit: the unit of a number, such as "seconds".
        changes_labels: labels of runs that differ in this key do not compare. A key that is
            declared without `key` or `label_key` counts as such a key, to be on the safe side.
        default: the default in words, where the program computes it.
        null: what an explicit `null` means; '' where it means the same as leaving the key out.
        omit_default: leave the key out of the manifest while it has its default. A key that is
            added later needs this, or every configuration gets another `config_hash`.
        recorded: the program writes this key into the manifest; a configuration must not.
        secret: never show the value in a message: somebody may paste an API key here.
        number_as_text: accept a number, and take it as text.
        hint: what a message adds about a text that cannot be the value.
        synonyms: other words for a value, which a message should explain, as (word, value).
    """

    unit: str = ""
    changes_labels: bool = True
    default: str = ""
    null: str = ""
    omit_default: bool = False
    recorded: bool = False
    secret: bool = False
    number_as_text: bool = False
    hint: str = ""
    synonyms: tuple[tuple[str, str], ...] = ()


class _MoreFacts(TypedDict, total=False):
    unit: str
    default: str
    null: str
    omit_default: bool
    recorded: bool
    secret: bool
    number_as_text: bool
    hint: str
    synonyms: tuple[tuple[str, str], ...]


def key(description: str, **facts: Unpack[_MoreFacts]) -> Meta:
    """Declare a key that changes no label, by one sentence and the fields of `Facts`."""
    return _declare(description, Facts(changes_labels=False, **facts))


def label_key(description: str, **facts: Unpack[_MoreFacts]) -> Meta:
    """Declare a key that changes labels, by one sentence and the fields of `Facts`."""
    return _declare(description, Facts(changes_labels=True, **facts))


def expects(words: str) -> Meta:
    """Say in words what a type accepts, where its range alone would not tell a person."""
    return Meta(extra={_EXPECTS: words})


def one_of(names: Iterable[str]) -> Meta:
    """Accept these texts and no other."""
    choices = tuple(names)
    return Meta(
        pattern=rf"^({'|'.join(map(re.escape, choices))})$(?!\n)",
        extra={_CHOICES: choices},
        extra_json_schema={"enum": list(choices)},
    )


def _declare(description: str, facts: Facts) -> Meta:
    shown = [description]
    if facts.unit:
        shown.append(f"Unit: {facts.unit}.")
    if facts.default:
        shown.append(f"Default: {facts.default}.")
    if facts.null:
        shown.append(f"null: {facts.null}.")
    if facts.changes_labels:
        shown.append("Changes labels.")
    return Meta(
        description=description,
        extra={_FACTS: facts},
        extra_json_schema={"description": " ".join(shown)},
    )


Positive = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]
PositiveNumber = Annotated[float, Meta(gt=0)]
Text = Annotated[str, Meta(pattern=r"\S")]
# Of timers and limits, in seconds or minutes.
Duration = Annotated[float, Meta(gt=0, le=LONGEST_TIME)]
DurationOrZero = Annotated[float, Meta(ge=0, le=LONGEST_TIME)]


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One declared key.

    Attributes:
        annotation: its type as declared, with the ranges.
        default: its value where it is left out; `msgspec.NODEFAULT` where it is required.
        description: one sentence, '' where nobody wrote one.
    """

    name: str
    annotation: Any
    default: object
    description: str
    facts: Facts

    @property
    def required(self) -> bool:
        """Whether the key has no default."""
        return self.default is NODEFAULT


@cache
def keys_of(cls: type) -> Mapping[str, Key]:
    """Return the keys of a section, struct or dataclass by name, in the order of declaration."""
    keys = {}
    for name, annotation, default in _fields(cls):
        facts, description = None, ""
        for meta in metadata(annotation):
            facts = (meta.extra or {}).get(_FACTS, facts)
            description = meta.description or description
        keys[name] = Key(
            name=name,
            annotation=annotation,
            default=default,
            description=description,
            facts=facts or Facts(),
        )
    return keys


def metadata(annotation: Any) -> tuple[Meta, ...]:
    """Return what is annotated, the innermost first."""
    found = getattr(annotation, "__metadata__", ())
    return tuple(meta for meta in found if isinstance(meta, Meta))


def expectation(annotation: Any) -> str:
    """Return the words of `expects`, '' where there are none."""
    words = ""
    for meta in metadata(annotation):
        words = (meta.extra or {}).get(_EXPECTS, words)
    return words


def choices(annotation: Any) -> tuple[str, ...]:
    """Return the texts of `one_of`, nothing where it is not used."""
    found: tuple[str, ...] = ()
    for meta in metadata(annotation):
        found = (meta.extra or {}).get(_CHOICES, found)
    return found


def unwrap_type(annotation: Any) -> Any:
    """Return the type without what is annotated."""
    while typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    return annotation


def members(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union as they are annotated, nothing for any other type."""
    inner = unwrap_type(annotation)
    is_union = typing.get_origin(inner) in (typing.Union, types.UnionType)
    return typing.get_args(inner) if is_union else ()


def not_null(annotation: Any) -> Any:
    """Return the one other member of `X | None` as it is annotated, any other type unchanged."""
    others = [member for member in members(annotation) if member is not type(None)]
    return not_null(others[0]) if len(others) == 1 else annotation


def section_in(annotation: Any) -> type | None:
    """Return the section that a key holds, alone or in a list; None for any other key."""
    inner = unwrap_type(not_null(annotation))
    if typing.get_origin(inner) in (tuple, list):
        inner = unwrap_type(not_null(typing.get_args(inner)[0]))
    return inner if is_section(inner) else None


def is_section(kind: Any) -> bool:
    """Return whether a type is a class with declared keys."""
    return isinstance(kind, type) and (issubclass(kind, Struct) or dataclasses.is_dataclass(kind))


def fields_to_json(record: object) -> dict[str, object]:
    """Return the fields of a dataclass as JSON has them, in the order of declaration."""
    kind: type = type(record)
    return {name: _to_json(getattr(record, name)) for name in keys_of(kind)}


def _to_json(value: object) -> object:
    if isinstance(value, Section):
        return value.to_json()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return fields_to_json(value)
    if isinstance(value, tuple | list):
        return [_to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _to_json(item) for name, item in value.items()}
    if isinstance(value, datetime):
        return value.isoformat()
    return value.value if isinstance(value, Enum) else value


def _fields(cls: type) -> Iterator[tuple[str, Any, object]]:
    if issubclass(cls, Struct):
        for field in msgspec.structs.fields(cls):
            factory = field.default_factory
            yield field.name, field.type, field.default if factory is NODEFAULT else factory()
        return
    assert dataclasses.is_dataclass(cls)
    annotations = typing.get_type_hints(cls, include_extras=True)
    for given in dataclasses.fields(cls):
        default: object = given.default
        if given.default_factory is not dataclasses.MISSING:
            default = given.default_factory()
        elif default is dataclasses.MISSING:
            default = NODEFAULT
        yield given.name, annotations[given.name], default
