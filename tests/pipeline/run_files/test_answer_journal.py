"""Answers that no part holds yet survive the end of their process, exactly as they were."""

import math
import os
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import TaskError, UnreadableError
from pipeline.model import Answer, Column
from pipeline.run_files.checkpoints import checkpoint
from pipeline.run_files.checkpoints.checkpoint import Checkpoint
from pipeline.run_files.checkpoints.parts import holds_answers
from tests.pipeline import task_processes
from tests.pipeline.conftest import fill
from tests.pipeline.exhaustion import exhausted_descriptors
from tests.pipeline.run_files.test_checkpoint import (
    COLUMNS,
    RECEIPT,
    VALUES,
    new_checkpoint,
    side_by_uri,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "score": st.none() | st.floats(allow_nan=False),
            "stars": st.none() | st.integers(-(2**63) + 1, 2**63 - 1),
            "toxic": st.none() | st.booleans(),
            "side": st.none() | TEXT,
        }
    ),
    min_size=1,
    max_size=5,
)


def killed(folder: Path, *uris: str, attempt: int = 1) -> Path:
    """The journal of a process that was killed after these answers."""
    saved = new_checkpoint(folder, attempt=attempt)
    for uri in uris:
        saved.add(Answer(uri, VALUES | {"side": f"attempt {attempt}"}))
    return sorted(folder.glob(f"{attempt:04d}-*.answers"))[-1]


def loaded(folder: Path, **how: object) -> Checkpoint:
    saved = new_checkpoint(folder, attempt=9, **how)  # type: ignore[arg-type]
    saved.load()
    return saved


@given(rows=ROWS, responses=st.lists(st.none() | TEXT, min_size=5, max_size=5))
def test_answers_are_read_as_a_part_would_hold_them(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, object]],
    responses: list[str | None],
) -> None:
    folder = tmp_path_factory.mktemp("work")
    first = new_checkpoint(folder, keep_raw=True)
    for number, (values, response) in enumerate(zip(rows, responses, strict=False)):
        first.add(Answer(f"at://{number}/\u2028\0\n", values, raw=response))  # type: ignore[arg-type]
    second = loaded(folder, keep_raw=True)
    assert second.all_answers().equals(first.all_answers())
    assert pa.concat_tables(second.responses()).equals(pa.concat_tables(first.responses()))


def test_numbers_that_json_lacks_and_microseconds_are_kept(tmp_path: Path) -> None:
    at = datetime(2024, 6, 1, 12, 30, 0, 123456)
    metadata = {**RECEIPT.metadata(), "hpc.config_hash": "q"}
    first = Checkpoint(tmp_path, metadata=metadata, columns=COLUMNS, attempt=1, now=lambda: at)
    numbers = [math.inf, -math.inf, -0.0, 5e-324, 1e22]
    for number in numbers:
        first.add(Answer(str(number), VALUES | {"score": number}))
    rows = loaded(tmp_path).all_answers()
    assert list(map(str, rows["score"].to_pylist())) == list(map(str, numbers))
    assert set(rows["label_timestamp"].to_pylist()) == {at}


def test_a_part_makes_the_journal_of_its_answers_superfluous(tmp_path: Path) -> None:
    saved = new_checkpoint(tmp_path)
    for uri in ("u1", "u2"):
        saved.add(Answer(uri, VALUES))
    assert [path.suffix for path in tmp_path.iterdir()] == [".answers"]
    saved.flush()
    assert [path.suffix for path in tmp_path.iterdir()] == [".parquet"]
    saved.add(Answer("u3", VALUES))
    assert set(side_by_uri(loaded(tmp_path))) == {"u1", "u2", "u3"}
    saved.discard()
    saved.add(Answer("u4", VALUES))
    assert list(tmp_path.iterdir()) == []


def test_a_task_killed_between_a_part_and_the_end_of_its_journal_has_each_answer_once(
    tmp_path: Path,
) -> None:
    saved = new_checkpoint(tmp_path)
    saved.add(Answer("u1", VALUES))
    (journal,) = tmp_path.iterdir()
    shutil.copy(journal, tmp_path / "aside")
    saved.flush()
    (tmp_path / "aside").rename(journal)
    assert task_processes.rows_in(tmp_path) == 1
    last = loaded(tmp_path)
    assert last.all_answers().num_rows == 1
    last.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moment", ["begun", "written"])
def test_there_is_no_moment_at_which_an_answer_is_in_no_file(
    tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a part is written, the journal of its answers and of later ones are there."""
    saved = new_checkpoint(tmp_path)
    saved.add(Answer("u1", VALUES))
    seen: list[set[str]] = []
    real = checkpoint.files.write_parquet

    def write(path: Path, table: pa.Table) -> None:
        if moment == "written":
            real(path, table)
        saved.add(Answer("u2", VALUES))
        seen.append(set(side_by_uri(loaded(tmp_path))))
        if moment == "begun":
            real(path, table)

    monkeypatch.setattr(checkpoint.files, "write_parquet", write)
    saved.flush()
    assert seen == [{"u1", "u2"}]
    assert set(side_by_uri(loaded(tmp_path))) == {"u1", "u2"}
    assert saved.pending == 1


def test_a_journal_cut_anywhere_loses_at_most_the_line_that_is_cut(tmp_path: Path) -> None:
    journal = killed(tmp_path, "u1", "u2", "u3")
    content = journal.read_bytes()
    ends = [at for at, byte in enumerate(content) if byte == 10]
    for kept in range(len(content)):
        journal.write_bytes(content[:kept])
        whole = max(sum(end < kept for end in ends) - 1, 0)
        assert list(side_by_uri(loaded(tmp_path))) == ["u1", "u2", "u3"][:whole]
        assert task_processes.rows_in(tmp_path) == whole


def test_a_damaged_byte_may_lose_its_answer_but_never_changes_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = killed(tmp_path, "u1", "u2", "u3")
    good = journal.read_bytes()
    whole = loaded(tmp_path).all_answers()
    after_header = good.index(b"\n") + 1
    for at in range(len(good)):
        journal.write_bytes(good[:at] + bytes([good[at] ^ 0x15]) + good[at + 1 :])
        found = loaded(tmp_path).all_answers()
        assert found.num_rows < 3
        assert found.equals(whole.filter(pa.compute.is_in(whole["uri"], found["uri"])))
        if at < after_header:
            assert found.num_rows == 0
        is_torn = at == len(good) - 1
        assert capsys.readouterr().err.startswith(f"{journal}: ") is not is_torn


def test_a_damaged_journal_is_kept(tmp_path: Path) -> None:
    journal = killed(tmp_path, "u1", "u2")
    journal.write_bytes(journal.read_bytes().replace(b"left", b"LEFT").replace(b"u2", b"U2"))
    saved = loaded(tmp_path)
    assert set(side_by_uri(saved)) == {"u1"}
    saved.discard()
    assert list(tmp_path.iterdir()) == [journal]


@pytest.mark.parametrize("other", [{"config_hash": "another"}, {"columns": COLUMNS[:2]}])
def test_a_journal_of_another_run_or_other_columns_is_reported_and_ignored(
    tmp_path: Path, other: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    journal = killed(tmp_path, "u1")
    assert side_by_uri_or_nothing(loaded(tmp_path, **other)) == set()
    assert capsys.readouterr().err.startswith(f"{journal}: ignored, it ")


def side_by_uri_or_nothing(saved: Checkpoint) -> set[str]:
    return set(saved.all_answers()["uri"].to_pylist())


def test_a_fact_that_an_older_version_did_not_keep_is_unknown(tmp_path: Path) -> None:
    killed(tmp_path, "u1")
    columns = (*COLUMNS, Column("seconds", "number", fact=True))
    (row,) = loaded(tmp_path, columns=columns).all_answers().to_pylist()
    assert (row["side"], row["seconds"]) == ("attempt 1", None)


def test_two_processes_of_one_attempt_never_write_the_same_file(tmp_path: Path) -> None:
    both = [new_checkpoint(tmp_path) for _ in range(2)]
    for number, saved in enumerate(both):
        saved.add(Answer(f"u{number}", VALUES))
    assert task_processes.rows_in(tmp_path) == 2
    assert set(side_by_uri(loaded(tmp_path))) == {"u0", "u1"}


def test_what_was_answered_without_asking_is_in_no_journal(tmp_path: Path) -> None:
    saved = new_checkpoint(tmp_path)
    saved.add(Answer("u1", reason="text_too_short"), is_free=True)
    assert list(tmp_path.iterdir()) == []
    saved.flush()
    assert not holds_answers(tmp_path)
    saved.add(Answer("u2", VALUES))
    assert holds_answers(tmp_path)


@pytest.mark.parametrize("written", [Checkpoint.flush, lambda saved: None], ids=["part", "journal"])
def test_what_cannot_be_read_now_is_never_left_out(
    tmp_path: Path, written: Callable[[Checkpoint], None]
) -> None:
    """Its answers would be paid for again."""
    saved = new_checkpoint(tmp_path)
    saved.add(Answer("u1", VALUES))
    written(saved)
    with exhausted_descriptors(), pytest.raises(UnreadableError):
        loaded(tmp_path)
    assert set(side_by_uri(loaded(tmp_path))) == {"u1"}


def test_an_answer_that_the_full_disk_does_not_take_stays_in_memory(small_disk: Path) -> None:
    folder = small_disk / "00000"
    folder.mkdir()
    saved = new_checkpoint(folder)
    assert saved.add(Answer("u0", VALUES)) is None
    fill(small_disk, leaving=0)
    failures = [saved.add(Answer(f"u{number}", VALUES)) for number in range(1, 100)]
    assert saved.unsaved == sum(failure is not None for failure in failures) > 0
    on_disk = 100 - saved.unsaved
    assert loaded(folder).all_answers().num_rows == on_disk
    (small_disk / "filler").unlink()
    saved.flush()
    assert (saved.unsaved, saved.pending) == (0, 0)
    assert loaded(folder).all_answers().num_rows == 100
    assert saved.add(Answer("u100", VALUES)) is None


def test_exhausted_descriptors_stop_neither_journal_nor_part(tmp_path: Path) -> None:
    """A part takes the descriptor of the journal that it replaces."""
    saved = new_checkpoint(tmp_path)
    saved.add(Answer("u1", VALUES))
    with exhausted_descriptors():
        assert saved.add(Answer("u2", VALUES)) is None
        saved.flush()
        assert saved.add(Answer("u3", VALUES)) is None
    assert (saved.unsaved, saved.pending) == (0, 1)
    assert set(side_by_uri(loaded(tmp_path))) == {"u1", "u2", "u3"}


def test_answers_that_are_added_together_share_a_write_and_others_have_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    real = os.write

    def write(descriptor: int, content: bytes) -> int:
        writes.append(content.count(b"\n"))
        return real(descriptor, content)

    saved = new_checkpoint(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        saved.add(Answer("u0", VALUES))
        saved.add_together([Answer(f"u{number}", VALUES) for number in range(1, 9)])
        saved.add(Answer("u9", VALUES))
    line_with_header = 2
    assert (writes, saved.unsaved) == ([line_with_header, 8, 1], 0)
    assert loaded(tmp_path).all_answers().num_rows == 10


def test_the_answers_before_a_wrong_one_are_kept(tmp_path: Path) -> None:
    saved = new_checkpoint(tmp_path)
    with pytest.raises(TaskError):
        saved.add_together([Answer("u0", VALUES), Answer("u1", {"other": 1}), Answer("u2", VALUES)])
    assert set(side_by_uri(loaded(tmp_path))) == {"u0"}
