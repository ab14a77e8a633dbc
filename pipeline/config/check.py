"""Check values out of a file against the declared keys, and report every problem at once."""

import math
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import ValidationError

from pipeline.config.expected import choices_of, describe_expected
from pipeline.config.keys import (
    Key,
    Wrong,
    is_section,
    keys_of,
    members,
    not_null,
    unwrap_type,
)
from pipeline.errors import InputError
from pipeline.messages.options import OVERRIDES
from pipeline.text import counted, did_you_mean, nearest

T = TypeVar("T")

_LONGEST_SHOWN = 200
# More problems in one file have one reason, and nobody reads them.
_MOST_SHOWN = 50


class Problem(msgspec.Struct, frozen=True):
    """One thing to correct: in which file, at which key ('' for the whole file), and what."""

    source: str
    path: str
    text: str
    is_lack: bool = False
    """Whether the value is right, and this shell or machine lacks what it names now."""
    advice: str = ""
    """What to do, if `text` does not say it."""

    def __str__(self) -> str:
        return f"{self.source}: {self.line}"

    @property
    def line(self) -> str:
        """Return the key, what is wrong with it, and what to do."""
        advice = f": {self.advice}" if self.advice else ""
        return f"{self.path or 'the file'}: {self.text}{advice}"


class SeveralProblems(InputError):
    """Several things to correct, in one or several files."""

    def __init__(self, message: str, problems: Sequence[Problem]) -> None:
        """Keep the message, and the problems that it lists."""
        super().__init__(message)
        self.problems = tuple(problems)


class Problems(msgspec.Struct, frozen=True):
    """Collects what is wrong in one or several files, so that a person corrects it in one go."""

    found: list[Problem] = []
    file: str = ""
    """The file whose keys `overridden` names."""
    overridden: tuple[str, ...] = ()
    """The paths of the keys whose values do not come from the file."""

    def add(self, source: str, path: str, text: str) -> None:
        """Record a problem with the key at `path` of the file `source`."""
        self.found.append(Problem(self._origin(source, path), path, text))

    def add_lack(self, source: str, path: str, text: str, advice: str = "") -> None:
        """Record that this shell or machine lacks what the key at `path` names, such as an API key.

        The configuration is right, so a plan can be shown without it.
        """
        origin = self._origin(source, path)
        self.found.append(Problem(origin, path, text, is_lack=True, advice=advice))

    def _origin(self, source: str, path: str) -> str:
        """Return where the value at `path` comes from: the file, or the option that overrides."""
        if source == self.file and any(
            path == key or path.startswith((f"{key}.", f"{key}[")) for key in self.overridden
        ):
            return str(OVERRIDES)
        return source

    @property
    def lacks(self) -> tuple[Problem, ...]:
        """Return what this shell or machine lacks."""
        return tuple(problem for problem in self.found if problem.is_lack)

    @property
    def is_wrong(self) -> bool:
        """Whether a value is wrong, and not only missing in this shell or on this machine."""
        return len(self.lacks) < len(self.found)

    def raise_any(self, *, but_lacks: bool = False) -> None:
        """Raise one InputError with all problems, if there are any.

        Args:
            but_lacks: raise nothing if this shell or machine only lacks something.
        """
        if but_lacks and not self.is_wrong:
            return
        if len(self.found) == 1:
            raise InputError(str(self.found[0]))
        lines = []
        for source in dict.fromkeys(problem.source for problem in self.found):
            own = [problem for problem in self.found if problem.source == source]
            lines.append(f"{source}: {counted(len(own), 'problem')}")
            shown_first = own[:_MOST_SHOWN]
            lines += [f"  {problem.line}" for problem in shown_first]
            if len(own) > _MOST_SHOWN:
                lines.append(f"  and {counted(len(own) - _MOST_SHOWN, 'more problem')}")
        if lines:
            raise SeveralProblems("\n".join(lines), self.found)


def check(
    cls: type[T], values: object, *, source: str, path: str = "", problems: Problems
) -> T | None:
    """Return a configuration's mapping as a typed value; None where something is wrong with it.

    A key without a value (`key:`, `key: null`) has its default.

    Args:
        values: what the YAML holds; None for a mapping that is not there.
        source: the file, as messages name it.
        path: the key under which the mapping lies.
        problems: gets all that is wrong.
    """
    walk = _Walk(source=source, problems=problems, of_a_person=True)
    return walk.convert(cls, values, path)


def check_record(
    cls: type[T], values: object, *, source: str, path: str = "", problems: Problems
) -> T | None:
    """Return what another process of this program wrote, as a typed value: `null` is a value."""
    walk = _Walk(source=source, problems=problems, of_a_person=False)
    return walk.convert(cls, values, path)


class _Walk(msgspec.Struct, frozen=True, kw_only=True):
    """Goes through a mapping along the declared keys and cleans it for `msgspec.convert`."""

    source: str
    problems: Problems
    of_a_person: bool

    def convert(self, cls: type[T], values: object, path: str) -> T | None:
        before = len(self.problems.found)
        cleaned = self._section(cls, values, path)
        if len(self.problems.found) > before:
            return None
        return msgspec.convert(cleaned, cls)

    def _section(self, cls: type, values: object, path: str) -> object:
        values = {} if values is None and self.of_a_person else values
        if not isinstance(values, Mapping):
            self._add(path, f"should be a mapping of keys, not {shown(values)}")
            return values
        keys = {
            name: key
            for name, key in keys_of(cls).items()
            if not (key.facts.recorded and self.of_a_person)
        }
        before = len(self.problems.found)
        unknown = [str(name) for name in values if name not in keys]
        if len(unknown) > _MOST_SHOWN:
            more = len(unknown) - _MOST_SHOWN
            self._add(path, f"{counted(more, 'more unknown key')} besides the following")
            unknown = unknown[:_MOST_SHOWN]
        for name in unknown:
            self._add(_join(path, name), f"unknown key{did_you_mean(name, list(keys))}")
        misspelt = {nearest(name, list(keys)) for name in unknown}
        cleaned: dict[str, object] = {}
        for name, key in keys.items():
            inner = not_null(key.annotation)
            if name in values and not self._is_left_out(values[name], key):
                cleaned[name] = self._value(key.annotation, values[name], _join(path, name), key)
            elif key.required and self.of_a_person and is_section(unwrap_type(inner)):
                cleaned[name] = self._section(unwrap_type(inner), None, _join(path, name))
            elif key.required and name not in misspelt:
                self._add(_join(path, name), "is missing")
        if len(self.problems.found) == before:
            self._check_rules(cls, cleaned, path)
        return cleaned

    def _value(self, annotation: Any, value: object, path: str, key: Key) -> object:
        if value is None and type(None) in members(annotation):
            return None
        annotation = not_null(annotation)
        inner = unwrap_type(annotation)
        if is_section(inner):
            return self._section(inner, value, path)
        before = len(self.problems.found)
        origin, args = typing.get_origin(inner), typing.get_args(inner)
        if origin in (tuple, list) and isinstance(value, list):
            value = [
                self._value(args[0], item, f"{path}[{index}]", key)
                for index, item in enumerate(value)
            ]
        elif origin in (dict, Mapping) and isinstance(value, Mapping):
            value = {
                self._value(args[0], self._name(args[0], name), path, key): self._value(
                    args[1], item, _join(path, str(name)), key
                )
                for name, item in value.items()
            }
        elif key.facts.number_as_text and _is_number(value):
            return str(value)
        if len(self.problems.found) == before:
            self._check_leaf(annotation, value, path, key)
        return value

    def _name(self, annotation: Any, name: object) -> object:
        """Return a name of a mapping; JSON writes numbers as text there."""
        is_number = unwrap_type(annotation) is int and isinstance(name, str) and name.isdecimal()
        return int(str(name)) if is_number and not self.of_a_person else name

    def _check_leaf(self, annotation: Any, value: object, path: str, key: Key) -> None:
        try:
            msgspec.convert(value, annotation)
        except ValidationError:
            is_wrong = True
        else:
            is_wrong = isinstance(value, float) and not math.isfinite(value)
        if not is_wrong:
            return
        if isinstance(value, str) and not value.strip() and unwrap_type(annotation) is str:
            self._add(path, "is empty: give it a value, or leave the key out")
        else:
            self._add(path, _describe_unexpected(annotation, value, key))

    def _check_rules(self, cls: type, cleaned: dict[str, object], path: str) -> None:
        try:
            msgspec.convert(cleaned, cls)
        except ValidationError as error:
            wrong = error.__cause__
            if isinstance(wrong, Wrong):
                self._add(_join(path, wrong.key), wrong.problem)
            else:
                self._add(path, str(error))

    def _is_left_out(self, value: object, key: Key) -> bool:
        return value is None and self.of_a_person and not key.facts.null

    def _add(self, path: str, text: str) -> None:
        self.problems.add(self.source, path, text)


def shown(value: object) -> str:
    """Return a value as messages show it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def _describe_unexpected(annotation: Any, value: object, key: Key) -> str:
    words = f"should be {describe_expected(annotation)}"
    if key.facts.secret:
        return words
    synonyms = dict(key.facts.synonyms)
    meant = synonyms.get(str(value).lower(), str(value))
    hint = f" ({key.facts.hint})" if key.facts.hint and isinstance(value, str) else ""
    return f"{words}, not {shown(value)}{did_you_mean(meant, choices_of(annotation))}{hint}"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
