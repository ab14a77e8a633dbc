"""Define what people code, and read what they typed. Pure."""

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from pipeline.config.keys import Section
from pipeline.errors import InputError
from pipeline.messages.options import LABELS
from pipeline.model import RESERVED, Column, ColumnKind, LabelValue
from pipeline.text import did_you_mean


class CodedKind(StrEnum):
    """What kind of value people give."""

    BOOL = "bool"
    CHOICE = "choice"
    NUMBER = "number"
    INTEGER = "integer"
    TEXT = "text"


_COLUMN_KIND = {
    CodedKind.BOOL: ColumnKind.FLAG,
    CodedKind.CHOICE: ColumnKind.TEXT,
    CodedKind.NUMBER: ColumnKind.NUMBER,
    CodedKind.INTEGER: ColumnKind.INTEGER,
    CodedKind.TEXT: ColumnKind.TEXT,
}
# Columns of coding files that hold no label.
CODER, SAMPLE = "coder", "sample"
OWN_COLUMNS = frozenset({"id", CODER, SAMPLE, "annotator", "annotation_id"})
# A spreadsheet writes its own TRUE and FALSE in the language of the person.
_TRUE = frozenset({"true", "yes", "y", "t", "1", "wahr", "vrai"})
_FALSE = frozenset({"false", "no", "n", "f", "0", "falsch", "faux"})
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")
_EXAMPLE = "toxic:bool,ideology:left|right|unclear,score:number:0:1,stance:integer:1:7,note:text"


class InvalidValue(ValueError):
    """A coder typed something that the label does not allow; the message says what it allows."""


class CodedLabel(Section, frozen=True, kw_only=True):
    """One thing that people say about each post."""

    name: str
    kind: CodedKind
    choices: tuple[str, ...] = ()
    """The values of a choice."""
    least: float | None = None
    most: float | None = None
    """The limits of a number, which are allowed values."""

    @property
    def column(self) -> Column:
        """Return the column of the labels."""
        return Column(self.name, _COLUMN_KIND[self.kind])

    @property
    def words(self) -> str:
        """Return the label as `--labels` has it."""
        if self.kind is CodedKind.CHOICE:
            return f"{self.name}:{'|'.join(self.choices)}"
        limits = "" if self.least is None else f":{self.least:g}:{self.most:g}"
        return f"{self.name}:{self.kind}{limits}"

    @property
    def expected(self) -> str:
        """Return what a value should be, for a message."""
        if self.kind is CodedKind.BOOL:
            return "true or false"
        if self.kind is CodedKind.CHOICE:
            return f"one of {', '.join(self.choices)}"
        if self.kind is CodedKind.TEXT:
            return "a text"
        noun = "a whole number" if self.kind is CodedKind.INTEGER else "a number"
        if self.least is None:
            return noun
        return f"{noun} from {self.least:g} to {self.most:g}"

    def read(self, typed: str) -> LabelValue:
        """Return the value that a coder typed; None for a blank, which means not coded.

        Raises:
            InvalidValue: it is no value of this label.
        """
        text = typed.strip()
        if not text:
            return None
        value = self._parse(text)
        if value is None:
            raise InvalidValue(f"should be {self.expected}")
        return value

    def _parse(self, text: str) -> LabelValue:
        if self.kind is CodedKind.TEXT:
            return text
        if self.kind is CodedKind.BOOL:
            word = text.casefold()
            # Some programs write numbers for flags, such as 1.0 where other rows are blank.
            word = {"1.0": "1", "0.0": "0", "1,0": "1", "0,0": "0"}.get(word, word)
            return True if word in _TRUE else False if word in _FALSE else None
        if self.kind is CodedKind.CHOICE:
            by_word = {choice.casefold(): choice for choice in self.choices}
            return by_word.get(text.casefold())
        return self._parse_number(text)

    def _parse_number(self, text: str) -> float | int | None:
        if not _NUMBER.fullmatch(text):
            return None
        number = float(text.replace(",", "."))
        if not math.isfinite(number):
            return None
        least = -math.inf if self.least is None else self.least
        most = math.inf if self.most is None else self.most
        if not least <= number <= most:
            return None
        if self.kind is CodedKind.NUMBER:
            return number
        return int(number) if number.is_integer() and abs(number) < 2**53 else None


def as_typed(value: object) -> str:
    """Return a value as a coder types it, such as `true`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_labels(text: str) -> tuple[CodedLabel, ...]:
    """Return the labels of a text such as `toxic:bool,score:number:0:1`.

    Raises:
        InputError: it names no labels; the message says what is wrong with which part.
    """
    labels: list[CodedLabel] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        label = _parse_label(part)
        if label.name.lower() in {other.name.lower() for other in labels}:
            raise _wrong(part, f"{label.name} occurs twice")
        labels.append(label)
    if not labels:
        raise InputError(f"{LABELS}: say what to code, such as {_EXAMPLE}")
    return tuple(labels)


def _parse_label(part: str) -> CodedLabel:
    name, _, kind = (piece.strip() for piece in part.partition(":"))
    check_label_name(name, part)
    if "|" in kind:
        return choice_label(name, kind.split("|"), part)
    word, *limits = (piece.strip() for piece in kind.split(":"))
    kinds = [str(each) for each in CodedKind if each is not CodedKind.CHOICE]
    if word not in kinds:
        hint = did_you_mean(word, kinds) if word else ""
        raise _wrong(part, f"after the name, write one of {', '.join(kinds)}, or a|b|c{hint}")
    if word in (CodedKind.NUMBER, CodedKind.INTEGER):
        least, most = _parse_limits(part, limits)
        return CodedLabel(name=name, kind=CodedKind(word), least=least, most=most)
    if limits:
        raise _wrong(part, f"{word} cannot have limits")
    return CodedLabel(name=name, kind=CodedKind(word))


def check_label_name(name: str, part: str) -> None:
    """Raise InputError unless a label can have this name."""
    if not _NAME.fullmatch(name):
        raise _wrong(part, "a name has letters, digits and _, and begins with a letter")
    if name.lower() in RESERVED | OWN_COLUMNS or name.lower().startswith("model_"):
        raise _wrong(part, f"the name {name} is taken: choose another one")


def choice_label(name: str, words: list[str], part: str) -> CodedLabel:
    """Return a label whose values are these words.

    Raises:
        InputError: a word is empty, or there twice.
    """
    choices = tuple(word.strip() for word in words)
    if "" in choices:
        raise _wrong(part, "a choice is empty")
    if len({choice.casefold() for choice in choices}) < len(choices):
        raise _wrong(part, "a choice occurs twice")
    return CodedLabel(name=name, kind=CodedKind.CHOICE, choices=choices)


def _parse_limits(part: str, limits: list[str]) -> tuple[float | None, float | None]:
    if not limits:
        return None, None
    try:
        least, most = map(float, limits)
    except ValueError:
        raise _wrong(part, "the limits should be two numbers, such as number:0:1") from None
    if not (math.isfinite(least) and math.isfinite(most) and least < most):
        raise _wrong(part, "the first limit should be below the second")
    return least, most


def _wrong(part: str, problem: str) -> InputError:
    return InputError(f"{LABELS.set_to(part)}: {problem}; an example: {_EXAMPLE}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Coding:
    """What one coder said about one post."""

    uri: str
    coder: str
    values: dict[str, LabelValue]
    """By label; None for what was left blank."""

    @property
    def is_blank(self) -> bool:
        """Whether nothing was coded."""
        return all(value is None for value in self.values.values())
