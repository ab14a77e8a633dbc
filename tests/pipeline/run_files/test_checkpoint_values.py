"""What an answer may hold: refused when it is given, not when the part is written."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import Cause, TaskError
from pipeline.model import Answer, LabelValue
from tests.pipeline.run_files.test_checkpoint import VALUES, answered, life


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("score", "0.5"),
        ("score", True),
        ("score", float("nan")),
        ("score", 10**400),
        ("stars", 0.5),
        ("stars", True),
        ("stars", 2**63),
        ("toxic", 1),
        ("side", 1),
        ("side", "half \ud83d of an emoji"),
    ],
)
def test_a_value_that_its_column_does_not_declare_is_refused(
    tmp_path: Path, name: str, value: LabelValue
) -> None:
    """Here, and not when the part is written: there it would take the others with it."""
    one = life(tmp_path)
    one.add(Answer("u1", VALUES))
    with pytest.raises(TaskError) as refused:
        one.add(Answer("u2", VALUES | {name: value}))
    assert refused.value.cause is Cause.REFUSED
    assert str(refused.value) == (
        f"the classifier answered {name} = {value!r} for u2: this breaks the classifier protocol"
    )
    one.flush()
    assert answered(one) == {"u1": "left"}


def test_a_number_may_be_any_whole_number(tmp_path: Path) -> None:
    one = life(tmp_path)
    one.add(Answer("u1", VALUES | {"score": 2**53 + 1, "stars": 2**63 - 1}))
    one.flush()
    assert one.answered().select(["score", "stars"]).to_pylist() == [
        {"score": float(2**53), "stars": 2**63 - 1}
    ]


def test_an_answer_of_other_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError) as refused:
        life(tmp_path).add(Answer("u1", {"score": 0.5, "mood": "x"}))
    assert refused.value.cause is Cause.REFUSED
    assert str(refused.value) == (
        "the classifier declares the columns score, stars, toxic, side but answered score, mood "
        "for u1: this breaks the classifier protocol"
    )


@pytest.mark.parametrize("reason", [None, ""])
def test_an_answer_without_label_and_reason_is_refused(tmp_path: Path, reason: str | None) -> None:
    with pytest.raises(TaskError) as refused:
        life(tmp_path).add(Answer("u1", reason=reason))
    assert str(refused.value) == (
        "the classifier gave neither a label nor a reason for u1: "
        "this breaks the classifier protocol"
    )


def test_facts_are_kept_also_where_there_is_no_label(tmp_path: Path) -> None:
    labels = {name: value for name, value in VALUES.items() if name != "stars"}
    one = life(tmp_path)
    one.add(Answer("u1", labels, facts={"stars": 7}))
    one.add(Answer("u2", reason="refusal", facts={"stars": 8}))
    one.flush()
    names = ["was_successfully_labeled", "reason", "stars", "side"]
    assert [tuple(row.values()) for row in one.answered().select(names).to_pylist()] == [
        (True, None, 7, "left"),
        (False, "refusal", 8, None),
    ]


def test_a_fact_that_no_column_declares_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError) as refused:
        life(tmp_path).add(Answer("u1", reason="refusal", facts={"tokens": 8}))
    assert "but answered tokens for u1" in str(refused.value)


@pytest.mark.parametrize("keep", [True, False])
def test_the_next_life_has_the_responses_that_are_to_be_kept(tmp_path: Path, keep: bool) -> None:
    one = life(tmp_path, keep_raw=keep)
    one.add(Answer("u1", VALUES, raw='{"a": 1}'))
    one.add(Answer("u2", reason="too short"))
    one.flush()
    other = life(tmp_path, keep_raw=keep)
    other.load()
    assert answered(other) == {"u1": "left", "u2": None}
    (part,) = tmp_path.glob("*.parquet")
    assert ("response" in pq.read_schema(part).names) is keep
    if keep:
        assert pa.concat_tables(other.responses())["response"].to_pylist() == ['{"a": 1}', None]


def test_a_response_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="a raw response that is not valid text for u1"):
        life(tmp_path, keep_raw=True).add(Answer("u1", VALUES, raw="\ud83d"))
