"""An answer that no part can hold is rejected when it is given, not when the part is written."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import Cause, TaskError
from pipeline.model import RAW_SCHEMA, Answer, LabelValue
from tests.pipeline.run_files.test_checkpoint import VALUES, new_checkpoint, side_by_uri


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
def test_a_value_of_another_type_than_its_column_is_rejected(
    tmp_path: Path, name: str, value: LabelValue
) -> None:
    saved = new_checkpoint(tmp_path)
    saved.add(Answer("u1", VALUES))
    with pytest.raises(TaskError) as rejected:
        saved.add(Answer("u2", VALUES | {name: value}))
    assert rejected.value.cause is Cause.REFUSED
    assert str(rejected.value) == (
        f"the classifier answered {name} = {value!r} for u2: this breaks the classifier protocol"
    )
    saved.flush()
    assert side_by_uri(saved) == {"u1": "left"}


def test_a_number_may_be_a_large_whole_number(tmp_path: Path) -> None:
    saved = new_checkpoint(tmp_path)
    saved.add(Answer("u1", VALUES | {"score": 2**53 + 1, "stars": 2**63 - 1}))
    saved.flush()
    assert saved.all_answers().select(["score", "stars"]).to_pylist() == [
        {"score": float(2**53), "stars": 2**63 - 1}
    ]


def test_an_answer_with_other_columns_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(TaskError) as rejected:
        new_checkpoint(tmp_path).add(Answer("u1", {"score": 0.5, "mood": "x"}))
    assert rejected.value.cause is Cause.REFUSED
    assert str(rejected.value) == (
        "the classifier declares the columns score, stars, toxic, side but answered score, mood "
        "for u1: this breaks the classifier protocol"
    )


@pytest.mark.parametrize("reason", [None, ""])
def test_an_answer_without_label_and_reason_is_rejected(tmp_path: Path, reason: str | None) -> None:
    with pytest.raises(TaskError) as rejected:
        new_checkpoint(tmp_path).add(Answer("u1", reason=reason))
    assert str(rejected.value) == (
        "the classifier gave neither a label nor a reason for u1: "
        "this breaks the classifier protocol"
    )


def test_facts_are_kept_with_and_without_a_label(tmp_path: Path) -> None:
    labels = {name: value for name, value in VALUES.items() if name != "stars"}
    saved = new_checkpoint(tmp_path)
    saved.add(Answer("u1", labels, facts={"stars": 7}))
    saved.add(Answer("u2", reason="refusal", facts={"stars": 8}))
    saved.flush()
    names = ["was_successfully_labeled", "reason", "stars", "side"]
    assert [tuple(row.values()) for row in saved.all_answers().select(names).to_pylist()] == [
        (True, None, 7, "left"),
        (False, "refusal", 8, None),
    ]


def test_a_fact_without_a_column_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(TaskError) as rejected:
        new_checkpoint(tmp_path).add(Answer("u1", reason="refusal", facts={"tokens": 8}))
    assert "but answered tokens for u1" in str(rejected.value)


@pytest.mark.parametrize("keep", [True, False])
def test_the_next_process_reads_the_responses_if_they_are_kept(tmp_path: Path, keep: bool) -> None:
    saved = new_checkpoint(tmp_path, keep_raw=keep)
    saved.add(Answer("u1", VALUES, raw='{"a": 1}'))
    saved.add(Answer("u2", reason="too short"))
    saved.flush()
    other = new_checkpoint(tmp_path, keep_raw=keep)
    other.load()
    assert side_by_uri(other) == {"u1": "left", "u2": None}
    (part,) = tmp_path.glob("*.parquet")
    assert ("response" in pq.read_schema(part).names) is keep
    if keep:
        assert pa.concat_tables(other.responses())["response"].to_pylist() == ['{"a": 1}', None]


@pytest.mark.parametrize("keep", [True, False])
def test_paid_answers_count_whether_or_not_responses_were_kept_with_them(
    tmp_path: Path, keep: bool
) -> None:
    """`keep_raw` changes no label, so it may be corrected while a shard is half done."""
    saved = new_checkpoint(tmp_path, keep_raw=not keep)
    saved.add(Answer("u1", VALUES, raw="of u1"))
    saved.flush()
    saved.add(Answer("u2", VALUES, raw="of u2"))  # in a journal
    other = new_checkpoint(tmp_path, attempt=2, keep_raw=keep)
    other.load()
    assert side_by_uri(other) == {"u1": "left", "u2": "left"}
    if keep:
        other.add(Answer("u3", VALUES, raw="of u3"))
        kept = pa.concat_tables(other.responses())
        assert kept.schema == RAW_SCHEMA
        assert kept["response"].to_pylist() == [None, None, "of u3"]


def test_a_response_that_is_not_valid_text_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="a raw response that is not valid text for u1"):
        new_checkpoint(tmp_path, keep_raw=True).add(Answer("u1", VALUES, raw="\ud83d"))
