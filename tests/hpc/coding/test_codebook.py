"""What people are asked, and what they may type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.coding.codebook import CodedKind, CodedLabel, InvalidValue, parse_labels
from pipeline.errors import InputError
from pipeline.model import Column, ColumnKind

LABELS = "toxic:bool, side:left|right|not sure,score:number:0:1,stance:integer:1:7,note:text"


def test_labels_have_the_columns_of_their_kinds_and_are_written_as_they_are_read() -> None:
    labels = parse_labels(LABELS)
    assert [label.column for label in labels] == [
        Column("toxic", ColumnKind.FLAG),
        Column("side", ColumnKind.TEXT),
        Column("score", ColumnKind.NUMBER),
        Column("stance", ColumnKind.INTEGER),
        Column("note", ColumnKind.TEXT),
    ]
    assert labels[1].choices == ("left", "right", "not sure")
    assert parse_labels(",".join(label.words for label in labels)) == labels


@pytest.mark.parametrize(
    "text",
    [
        "",
        "toxic",
        "toxic:boolean",
        "a:bool,A:bool",
        "text:bool",
        "URI:bool",
        "run_id:text",
        "model_x:bool",
        "a b:bool",
        "side:left|",
        "side:left|LEFT",
        "score:number:1:0",
        "score:number:nan:1",
        "score:number:0:inf",
        "score:number:0",
        "toxic:bool:0:1",
    ],
)
def test_what_names_no_labels_is_rejected(text: str) -> None:
    with pytest.raises(InputError):
        parse_labels(text)


TYPED = {
    "toxic": {"TRUE": True, " yes ": True, "1": True, "1.0": True, "Falsch": False, "0": False},
    "side": {"LEFT": "left", " not sure": "not sure"},
    "score": {"0,5": 0.5, ".25": 0.25, "1": 1.0, "5e-1": 0.5, "0": 0.0},
    "stance": {"7": 7, "3.0": 3, "3,0": 3},
    "note": {" so what? ": "so what?"},
}
WRONG = {
    "toxic": ["maybe", "2", "true false"],
    "side": ["centre", "left|right"],
    "score": ["1.01", "-0.1", "nan", "inf", "1e999", "0.5.1", "1,000.5", "½", "50%"],
    "stance": ["3.5", "8", "0", "one"],
}


def test_each_kind_of_label_reads_what_people_type() -> None:
    labels = {label.name: label for label in parse_labels(LABELS)}
    for name, values in TYPED.items():
        for typed, value in values.items():
            assert labels[name].read(typed) == value
            assert type(labels[name].read(typed)) is type(value)
    for name, texts in WRONG.items():
        for typed in texts:
            with pytest.raises(InvalidValue):
                labels[name].read(typed)
    assert {label.read(" \t") for label in labels.values()} == {None}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_as_it_is_written_with_a_point_or_a_comma(number: float) -> None:
    label = CodedLabel(name="score", kind=CodedKind.NUMBER)
    assert label.read(repr(number)) == number
    assert label.read(repr(number).replace(".", ",")) == number
