"""Labels declared once in the configuration: schema, validation and columns come from here."""

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any

from pipeline.config.keys import Positive, Section, Text, Wrong, expects, label_key, one_of
from pipeline.model import RESERVED, Column, ColumnKind, JsonObject, LabelValue
from pipeline.usage import COLUMNS

_KINDS = {
    "choice": ColumnKind.TEXT,
    "bool": ColumnKind.FLAG,
    "number": ColumnKind.NUMBER,
    "text": ColumnKind.TEXT,
}
DEFAULT_MAX_LENGTH = 200
MODEL_COLUMN = "llm_model_name"
_RESERVED = RESERVED | {MODEL_COLUMN, *(column.name for column in COLUMNS)}


class InvalidAnswer(Exception):
    """A model's answer that is not one of the declared labels; never a label itself."""


class Label(Section, frozen=True, kw_only=True):
    """One label that the model answers with, in a column of its name. A choice may be null, for
    "does not apply"."""

    name: Annotated[Text, label_key("Name of the label's column, in lower case.")]
    type: Annotated[Annotated[str, one_of(_KINDS)], label_key("Kind of the label's values.")]
    description: Annotated[str, label_key("What the label means; the prompt tells the model.")] = ""
    choices: Annotated[
        tuple[Annotated[str, expects("text (quote it)")] | None, ...],
        label_key("Values of a label of type `choice`, two or more."),
    ] = ()
    minimum: Annotated[
        float | None, label_key("Least value of a label of type `number`.", default="none")
    ] = None
    maximum: Annotated[
        float | None, label_key("Greatest value of a label of type `number`.", default="none")
    ] = None
    max_length: Annotated[
        Positive,
        label_key("Greatest length of a label of type `text`.", unit="characters"),
    ] = DEFAULT_MAX_LENGTH

    def __post_init__(self) -> None:
        """Reject a name that cannot be a column, and keys that this type of label has not."""
        name = self.name
        if not name.isidentifier() or name.lower() != name or name in _RESERVED:
            raise Wrong("name", f"should be a lower-case column name of its own, not {name!r}")
        others = {
            "choices": ("choice", self.choices != ()),
            "minimum": ("number", self.minimum is not None),
            "maximum": ("number", self.maximum is not None),
            "max_length": ("text", self.max_length != DEFAULT_MAX_LENGTH),
        }
        for key_name, (kind, is_given) in others.items():
            if is_given and self.type != kind:
                raise Wrong(key_name, f"only a label of type {kind} has it, not {self.type}")
        if self.type == "choice":
            self._check_choices()
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise Wrong("maximum", f"should be {self.minimum:g} or more, not {self.maximum:g}")

    def _check_choices(self) -> None:
        if len(self.choices) < 2:
            raise Wrong("choices", f"should be a list of 2 or more, not {list(self.choices)!r}")
        for choice in self.choices:
            if self.choices.count(choice) > 1:
                raise Wrong("choices", f"{choice!r} is there twice")

    def to_json(self) -> dict[str, object]:
        """Return the keys that this type of label has."""
        values = super().to_json()
        own = {"choice": ("choices",), "number": ("minimum", "maximum"), "text": ("max_length",)}
        kept = ("name", "type", "description", *own.get(self.type, ()))
        return {name: values[name] for name in kept}

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
