"""Labels declared once in the configuration: schema, validation and columns come from here."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config.section import Section
from pipeline.model import RESERVED, Column, ColumnKind, JsonObject, LabelValue
from pipeline.usage import COLUMNS

_KINDS = {
    "choice": ColumnKind.TEXT,
    "bool": ColumnKind.FLAG,
    "number": ColumnKind.NUMBER,
    "text": ColumnKind.TEXT,
}
MODEL_COLUMN = "llm_model_name"
_RESERVED = RESERVED | {MODEL_COLUMN, *(column.name for column in COLUMNS)}


class InvalidAnswer(Exception):
    """A model's answer that is not one of the declared labels; never a label itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """One declared label. `choices` may hold None: "does not apply" is a label too."""

    name: str
    type: str
    description: str = ""
    choices: tuple[str | None, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    max_length: int = 200

    @property
    def column(self) -> Column:
        return Column(self.name, _KINDS[self.type])

    def schema(self) -> JsonObject:
        match self.type:
            case "choice":
                # Of each its type, as OpenAI asks for; a list of types loses llama.cpp the enum.
                said = {"type": "string", "enum": [one for one in self.choices if one is not None]}
                return {"anyOf": [said, {"type": "null"}]} if None in self.choices else said
            case "bool":
                return {"type": "boolean"}
            case "number":
                limits = {"minimum": self.minimum, "maximum": self.maximum}
                return {"type": "number", **{k: v for k, v in limits.items() if v is not None}}
            case _:
                return {"type": "string", "maxLength": self.max_length}

    def described(self) -> JsonObject:
        return {"enum": list(self.choices)} if self.type == "choice" else self.schema()

    def value(self, answer: Any) -> LabelValue:
        """`answer` if it is a value of this label; raises InvalidAnswer otherwise."""
        match self.type:
            case "choice" if answer in self.choices and not isinstance(answer, bool | int | float):
                return answer  # type: ignore[no-any-return]
            case "bool" if isinstance(answer, bool):
                return answer
            case "number" if isinstance(answer, int | float) and self._in_range(answer):
                return float(answer)
            case "text" if isinstance(answer, str) and self._can_be_stored(answer):
                return answer
        raise InvalidAnswer(f"{self.name}: {str(answer)[:80]!r} is no {self.type} of this label")

    def _in_range(self, answer: float) -> bool:
        try:
            finite = math.isfinite(answer)  # JSON as Python reads it has NaN, 1e999 and 10**400
        except OverflowError:
            return False
        low = self.minimum is None or answer >= self.minimum
        high = self.maximum is None or answer <= self.maximum
        return finite and low and high and not isinstance(answer, bool)

    def _can_be_stored(self, answer: str) -> bool:
        halves = any("\ud800" <= character <= "\udfff" for character in answer)  # of an emoji
        return len(answer) <= self.max_length and not halves


def freeze(section: Section) -> list[JsonObject]:
    """The declared labels as JSON values. Raises InputError with the key's path."""
    frozen = [_freeze_one(one) for one in section.sections("labels")]
    names = [label["name"] for label in frozen]
    for name in names:
        if names.count(name) > 1:
            raise section.error("labels", f"{name!r} is declared twice")
    return frozen


def _freeze_one(section: Section) -> JsonObject:
    name = section.text("name")
    if not name.isidentifier() or name.lower() != name or name in _RESERVED:
        raise section.error("name", f"should be a lower-case column name of its own, not {name!r}")
    kind = section.choice("type", tuple(_KINDS))
    frozen: JsonObject = {"name": name, "type": kind}
    frozen["description"] = section.text("description", "", may_be_empty=True)
    if kind == "choice":
        choices = section.value("choices")
        if not isinstance(choices, list) or len(choices) < 2:
            raise section.error("choices", f"should be a list of two or more, not {choices!r}")
        for choice in choices:
            if choice is not None and not isinstance(choice, str):
                raise section.error("choices", f"{choice!r} is no text: quote it")
            if choices.count(choice) > 1:
                raise section.error("choices", f"{choice!r} is there twice")
        frozen["choices"] = choices
    if kind == "number":
        frozen["minimum"] = section.number("minimum", None)
        frozen["maximum"] = section.number("maximum", None)
        if None not in (low := frozen["minimum"], high := frozen["maximum"]) and low > high:
            raise section.error("maximum", f"should be {low:g} or more, not {high:g}")
    if kind == "text":
        frozen["max_length"] = section.integer("max_length", 200, least=1)
    section.done()
    return frozen


def thaw(frozen: list[JsonObject]) -> tuple[Label, ...]:
    return tuple(Label(**{**label, "choices": tuple(label.get("choices", ()))}) for label in frozen)


def schema(labels: tuple[Label, ...]) -> JsonObject:
    """JSON schema of an answer: an object with every label and nothing else."""
    return {
        "type": "object",
        "properties": {label.name: label.schema() for label in labels},
        "required": [label.name for label in labels],
        "additionalProperties": False,
    }


def instructions(labels: tuple[Label, ...]) -> str:
    """The prompt's last part: what an answer must look like, for servers without constraints."""
    opening = "Answer with one JSON object and nothing else. Its keys:\n"
    return opening + described(labels)


def described(labels: tuple[Label, ...]) -> str:
    """A line a label: its key, its values, what it means."""
    return "\n".join(
        f"- {json.dumps(label.name)}: {json.dumps(label.described(), ensure_ascii=False)}"
        + (f" ({label.description})" if label.description else "")
        for label in labels
    )


def read_answer(content: str, labels: tuple[Label, ...]) -> dict[str, LabelValue]:
    """Label values out of a model's words. Raises InvalidAnswer; never guesses."""
    return values_of(read_object(content), labels, content)


def read_object(content: str) -> Mapping[str, Any]:
    """The JSON object that a model said, and nothing else; a key that it gave twice has a value
    that no label takes. Raises InvalidAnswer."""
    try:
        answer = json.loads(unfenced(content), object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        raise InvalidAnswer(f"not JSON: {content[:80]!r}") from None
    if not isinstance(answer, dict):
        raise InvalidAnswer(f"not a JSON object: {content[:80]!r}")
    return answer


def values_of(
    answer: Mapping[str, Any], labels: tuple[Label, ...], content: str
) -> dict[str, LabelValue]:
    """The label values of an object. Raises InvalidAnswer; `content` is shown in its message."""
    missing = [label.name for label in labels if label.name not in answer]
    if missing:
        raise InvalidAnswer(f"without {', '.join(missing)}: {content[:80]!r}")
    return {label.name: label.value(answer[label.name]) for label in labels}


def unfenced(content: str) -> str:
    text = content.strip()
    if text.startswith("```") and text.endswith("```"):
        text = text.strip("`").removeprefix("json")
    return text


class _GivenTwice:
    """The value of a key that stands twice in an object: which one was meant is not guessed."""

    def __str__(self) -> str:
        return "given twice"


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for name, value in pairs:
        answer[name] = _GivenTwice() if name in answer else value
    return answer
