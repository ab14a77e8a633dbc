"""Declared labels, and the validation of a model's answers against them."""

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifiers.llm import labels
from pipeline.classifiers.llm.labels import InvalidAnswer, Label
from pipeline.model import Column, output_schema
from tests.pipeline.classifiers.classifier_setup import labels_of

DECLARED: list[dict[str, Any]] = [
    {"name": "is_sociopolitical", "type": "bool", "description": "about politics or society"},
    {"name": "ideology", "type": "choice", "choices": ["left", "right", "moderate", None]},
    {"name": "anger", "type": "number", "minimum": 0, "maximum": 1},
    {"name": "topic", "type": "text", "max_length": 20},
]
LABELS = labels_of(DECLARED)
VALID: dict[str, Any] = {
    "is_sociopolitical": True,
    "ideology": None,
    "anger": 0.25,
    "topic": "trains",
}
WRONG: dict[str, list[Any]] = {
    "ideology": ["Left", "left ", "", "null", 0, False, [], ["left"], {}],
    "is_sociopolitical": ["true", 1, 0, None, []],
    "anger": ["0.5", True, None, -0.01, 1.01, float("nan"), 10**400],
    "topic": [None, 1, ["trains"], "x" * 21, "\ud83d"],
}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def answer(**changed: Any) -> str:
    return json.dumps(VALID | changed)


def test_a_valid_answer_gives_every_value_by_name() -> None:
    assert labels.read_answer(answer(), LABELS) == VALID


@pytest.mark.parametrize("around", ["{}", " \n{}\n ", "```json\n{}\n```", "```\n{}\n```"])
def test_a_fence_around_an_answer_does_not_matter(around: str) -> None:
    assert labels.read_answer(around.replace("{}", answer()), LABELS) == VALID


def test_declared_labels_become_a_schema_columns_and_instructions() -> None:
    assert [label.column for label in LABELS] == [
        Column("is_sociopolitical", "flag"),
        Column("ideology", "text"),
        Column("anger", "number"),
        Column("topic", "text"),
    ]
    assert labels.schema(LABELS) == {
        "type": "object",
        "properties": {
            "is_sociopolitical": {"type": "boolean"},
            "ideology": {
                "anyOf": [
                    {"type": "string", "enum": ["left", "right", "moderate"]},
                    {"type": "null"},
                ]
            },
            "anger": {"type": "number", "minimum": 0.0, "maximum": 1.0},
            "topic": {"type": "string", "maxLength": 20},
        },
        "required": ["is_sociopolitical", "ideology", "anger", "topic"],
        "additionalProperties": False,
    }
    assert labels.instructions(LABELS) == (
        "Answer with one JSON object and nothing else. Its keys:\n"
        '- "is_sociopolitical": {"type": "boolean"} (about politics or society)\n'
        '- "ideology": {"enum": ["left", "right", "moderate", null]}\n'
        '- "anger": {"type": "number", "minimum": 0.0, "maximum": 1.0}\n'
        '- "topic": {"type": "string", "maxLength": 20}'
    )


@pytest.mark.parametrize(
    ("label", "value"),
    [(label, value) for label, values in WRONG.items() for value in values],
)
def test_a_value_that_is_not_declared_is_never_accepted(label: str, value: Any) -> None:
    kind = {"is_sociopolitical": "bool", "ideology": "choice", "anger": "number", "topic": "text"}
    with pytest.raises(InvalidAnswer) as refused:
        labels.read_answer(answer(**{label: value}), LABELS)
    shown = repr(str(value)[:80])
    assert str(refused.value) == f"{label}: {shown} is not a valid {kind[label]} for this label"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400])
def test_a_number_without_limits_must_still_be_finite(value: str) -> None:
    anything = (Label(name="score", type="number"),)
    with pytest.raises(InvalidAnswer, match="is not a valid number for this label"):
        labels.read_answer(f'{{"score": {value}}}', anything)
    assert labels.read_answer('{"score": -1e300}', anything) == {"score": -1e300}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "not JSON: ''"),
        ("I think it is left.", "not JSON: 'I think it is left.'"),
        (answer()[:-1], f"not JSON: {answer()[:-1][:80]!r}"),
        (answer() * 2, f"not JSON: {(answer() * 2)[:80]!r}"),
        ("[" * 100_000, f"not JSON: {'[' * 80!r}"),
        ("1" * 5000, f"not JSON: {'1' * 80!r}"),
        ('["left"]', "not a JSON object: '[\"left\"]'"),
        ("null", "not a JSON object: 'null'"),
        ('{"ideology": "left"}', "without is_sociopolitical, anger, topic: "
         "'{\"ideology\": \"left\"}'"),
    ],
)  # fmt: skip
def test_an_answer_that_is_not_an_object_of_all_labels_is_invalid(
    content: str, problem: str
) -> None:
    with pytest.raises(InvalidAnswer) as refused:
        labels.read_answer(content, LABELS)
    assert str(refused.value) == problem


@pytest.mark.parametrize("first", ["true", "false"])
def test_a_key_that_appears_twice_makes_the_answer_invalid(first: str) -> None:
    """JSON parsers keep the last value, but nobody knows which one the model meant."""
    twice = answer().replace("{", f'{{"is_sociopolitical": {first}, ', 1)
    with pytest.raises(InvalidAnswer) as refused:
        labels.read_answer(twice, LABELS)
    assert (
        str(refused.value) == "is_sociopolitical: 'given twice' is not a valid bool for this label"
    )
    doubled = answer().replace("{", '{"topic": "a", ', 1)
    with pytest.raises(
        InvalidAnswer, match="topic: 'given twice' is not a valid text for this label"
    ):
        labels.read_answer(doubled, LABELS)


@given(st.text(max_size=200))
def test_no_answer_causes_another_error_than_invalid_answer(content: str) -> None:
    with pytest.raises(InvalidAnswer):
        labels.read_answer(content, LABELS)


@given(st.fixed_dictionaries(dict.fromkeys(VALID, JSON_VALUES)))
def test_an_accepted_value_is_declared_and_can_be_stored(given_values: dict[str, Any]) -> None:
    try:
        values = labels.read_answer(json.dumps(given_values), LABELS)
    except InvalidAnswer as refused:
        str(refused).encode()
        return
    assert isinstance(values["is_sociopolitical"], bool)
    assert values["ideology"] in ("left", "right", "moderate", None)
    assert isinstance(values["anger"], float)
    assert 0 <= values["anger"] <= 1
    pa.Table.from_pylist([dict(values)], schema=pa.schema([one.column.arrow() for one in LABELS]))


@given(st.text(max_size=20), st.sampled_from(["left", None]), st.floats(0, 1), st.booleans())
def test_every_declared_value_is_accepted(
    topic: str, ideology: Any, anger: float, yes: bool
) -> None:
    values = {"topic": topic, "ideology": ideology, "anger": anger, "is_sociopolitical": yes}
    assert labels.read_answer(json.dumps(values), LABELS) == values


def test_no_label_may_have_the_name_of_another_column() -> None:
    names = output_schema(tuple(label.column for label in LABELS)).names
    assert len(set(names)) == len(names)
