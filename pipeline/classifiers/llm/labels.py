"""Declare labels once: their JSON schema, the validation of answers and their columns."""

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any

from pipeline.classifiers.llm import answer_text
from pipeline.classifiers.llm.answer_problems import AnswerProblem, InvalidAnswer
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


class Label(Section, frozen=True, kw_only=True):
    """One label that the model answers with, in a column of its name.

    A choice may be null, for "does not apply".
    """

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
                raise Wrong("choices", f"{choice!r} occurs twice")

    def to_json(self) -> dict[str, object]:
        """Return the keys that this type of label has."""
        values = super().to_json()
        own = {"choice": ("choices",), "number": ("minimum", "maximum"), "text": ("max_length",)}
        kept = ("name", "type", "description", *own.get(self.type, ()))
        return {name: values[name] for name in kept}

    @property
    def column(self) -> Column:
        """The column that the label's values go to."""
        return Column(self.name, _KINDS[self.type])

    def schema(self) -> JsonObject:
        """Return the JSON schema of the label's values."""
        match self.type:
            case "choice":
                # OpenAI wants one type per alternative. With a list of types, llama.cpp ignores the
                # enum.
                texts = [choice for choice in self.choices if choice is not None]
                text = {"type": "string", "enum": texts}
                return {"anyOf": [text, {"type": "null"}]} if None in self.choices else text
            case "bool":
                return {"type": "boolean"}
            case "number":
                limits = {"minimum": self.minimum, "maximum": self.maximum}
                given = {name: limit for name, limit in limits.items() if limit is not None}
                return {"type": "number", **given}
            case _:
                return {"type": "string", "maxLength": self.max_length}

    def values_for_prompt(self) -> JsonObject:
        """Return what the prompt says about the label's values."""
        return {"enum": list(self.choices)} if self.type == "choice" else self.schema()

    def validate(self, answer: Any) -> LabelValue:
        """Return `answer` if it is a value of this label.

        Raises:
            InvalidAnswer: it is not.
        """
        match self.type:
            case "choice" if answer in self.choices and not isinstance(answer, bool | int | float):
                return answer  # type: ignore[no-any-return]
            case "bool" if isinstance(answer, bool):
                return answer
            case "number" if isinstance(answer, int | float) and self._in_range(answer):
                return float(answer)
            case "text" if isinstance(answer, str) and self._can_be_stored(answer):
                return answer
        raise InvalidAnswer(
            AnswerProblem.LABEL_WRONG,
            f"{self.name}: {str(answer)[:80]!r} is not a valid {self.type} for this label",
        )

    def _in_range(self, answer: float) -> bool:
        try:
            finite = math.isfinite(answer)  # Python's JSON has NaN, 1e999 and 10**400
        except OverflowError:
            return False
        low = self.minimum is None or answer >= self.minimum
        high = self.maximum is None or answer <= self.maximum
        return finite and low and high and not isinstance(answer, bool)

    def _can_be_stored(self, answer: str) -> bool:
        # Half an emoji is valid JSON, but no file can hold it.
        has_surrogate = any("\ud800" <= character <= "\udfff" for character in answer)
        return len(answer) <= self.max_length and not has_surrogate


def schema(labels: tuple[Label, ...]) -> JsonObject:
    """Return the JSON schema of an answer: an object with every label and nothing else."""
    return {
        "type": "object",
        "properties": {label.name: label.schema() for label in labels},
        "required": [label.name for label in labels],
        "additionalProperties": False,
    }


def instructions(labels: tuple[Label, ...]) -> str:
    """Return the end of the prompt: what an answer must look like, for any server."""
    opening = "Answer with one JSON object and nothing else. Its keys:\n"
    return opening + describe(labels)


def describe(labels: tuple[Label, ...]) -> str:
    """Return one line per label: its key, its values and what it means."""
    return "\n".join(
        f"- {json.dumps(label.name)}: {json.dumps(label.values_for_prompt(), ensure_ascii=False)}"
        + (f" ({label.description})" if label.description else "")
        for label in labels
    )


def read_answer(content: str, labels: tuple[Label, ...]) -> dict[str, LabelValue]:
    """Return the label values of a model's answer, without ever guessing.

    Raises:
        InvalidAnswer: the answer is not the JSON object that was asked for.
    """
    return label_values(answer_text.read_object(content), labels, content)


def label_values(
    answer: Mapping[str, Any], labels: tuple[Label, ...], content: str
) -> dict[str, LabelValue]:
    """Return the label values of an object.

    Args:
        answer: the object.
        labels: the declared labels.
        content: the model's whole answer, for the message.

    Raises:
        InvalidAnswer: a label is missing, or its value is not valid.
    """
    missing = [label.name for label in labels if label.name not in answer]
    if missing:
        raise InvalidAnswer(
            AnswerProblem.LABEL_MISSING, f"without {', '.join(missing)}: {content[:80]!r}"
        )
    return {label.name: label.validate(answer[label.name]) for label in labels}
