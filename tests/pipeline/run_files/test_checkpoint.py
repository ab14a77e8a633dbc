"""A task keeps its answers in parts, and the next attempt reads them."""

import errno
import itertools
import os
import re
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import files
from pipeline.model import RAW_SCHEMA, Answer, Column, LabelValue, Receipt
from pipeline.run_files import heartbeat
from pipeline.run_files.checkpoints import parts
from pipeline.run_files.checkpoints.checkpoint import Checkpoint
from pipeline.run_files.heartbeat import HeartbeatWriter
from tests.pipeline import task_processes
from tests.pipeline.conftest import fill

RECEIPT = Receipt(run_id="r", shard_index=0, input_sha256="a" * 64)
COLUMNS = (
    Column("score", "number"),
    Column("stars", "integer"),
    Column("toxic", "flag"),
    Column("side", "text"),
)
VALUES: dict[str, LabelValue] = {"score": 0.5, "stars": 3, "toxic": True, "side": "left"}
LABELED_AT = datetime(2024, 6, 1)


def new_checkpoint(
    folder: Path,
    *,
    attempt: int = 1,
    receipt: Receipt = RECEIPT,
    config_hash: str = "q",
    columns: tuple[Column, ...] = COLUMNS,
    keep_raw: bool = False,
) -> Checkpoint:
    ticks = itertools.count()
    return Checkpoint(
        folder,
        metadata={**receipt.metadata(), "hpc.config_hash": config_hash},
        columns=columns,
        attempt=attempt,
        keep_raw=keep_raw,
        now=lambda: LABELED_AT + timedelta(seconds=next(ticks)),
    )


def labeled(folder: Path, *uris: str, attempt: int = 1) -> Checkpoint:
    """A checkpoint that has written saved part with these answers."""
    checkpoint = new_checkpoint(folder, attempt=attempt)
    for at_uri in uris:
        checkpoint.add(Answer(at_uri, VALUES | {"side": f"attempt {attempt}"}))
    checkpoint.flush()
    return checkpoint


def side_by_uri(checkpoint: Checkpoint) -> dict[str, str]:
    """The value of column `side` in every answer."""
    table = checkpoint.all_answers()
    return dict(zip(table["uri"].to_pylist(), table["side"].to_pylist(), strict=True))


def test_flushed_answers_survive_the_end_of_a_process_unchanged(tmp_path: Path) -> None:
    first = new_checkpoint(tmp_path)
    first.add(Answer("u1", VALUES))
    first.add(Answer("u2", reason="text_too_short"))
    first.flush()
    first.add(Answer("u3", dict.fromkeys(VALUES)))
    first.flush()
    second = new_checkpoint(tmp_path)
    second.load()
    unlabeled = dict.fromkeys(VALUES)
    assert second.all_answers().to_pylist() == [
        {
            "uri": uri,
            "was_successfully_labeled": reason is None,
            "reason": reason,
            "label_timestamp": LABELED_AT + timedelta(seconds=second),
            **values,
        }
        for second, (uri, reason, values) in enumerate(
            [
                ("u1", None, VALUES),
                ("u2", "text_too_short", unlabeled),
                ("u3", None, unlabeled),
            ]
        )
    ]


def test_a_checkpoint_without_parts_has_no_answers(tmp_path: Path) -> None:
    saved = new_checkpoint(tmp_path / "none")
    saved.load()
    saved.flush()
    assert saved.all_answers().num_rows == 0
    assert not (tmp_path / "none").exists()


def test_a_parts_name_tells_attempt_process_number_and_rows(tmp_path: Path) -> None:
    saved = labeled(tmp_path, "u1", "u2", attempt=7)
    assert saved.pending == 0
    saved.add(Answer("u3", VALUES))
    assert saved.pending == 1
    saved.flush()
    names = sorted(path.name for path in tmp_path.iterdir())
    matches = [re.fullmatch(r"0007-(\w{8})-0000(\d)-(\d)\.parquet", name) for name in names]
    assert [match.groups()[1:] for match in matches if match] == [("0", "2"), ("1", "1")]
    assert len({match[1] for match in matches if match}) == 1


def test_rows_are_counted_by_the_names_of_the_parts(tmp_path: Path) -> None:
    assert task_processes.rows_in(tmp_path / "none") == 0
    labeled(tmp_path, "u1", "u2")
    labeled(tmp_path, "u3", attempt=2)
    (tmp_path / ".tmp-0123-0001-aaaaaaaa-00000-50.parquet").write_bytes(b"half")
    assert task_processes.rows_in(tmp_path) == 3
    (tmp_path / "0003-something-else.parquet").touch()
    assert parts.rows_by_attempt(task_processes.names_in(tmp_path)) == {1: 2, 2: 1}


def test_the_first_answer_about_a_post_counts(tmp_path: Path) -> None:
    labeled(tmp_path, "u1", "u2", attempt=1)
    labeled(tmp_path, "u2", "u3", attempt=2)
    saved = new_checkpoint(tmp_path, attempt=3)
    saved.load()
    saved.add(Answer("u3", VALUES | {"side": "attempt 3"}))
    assert side_by_uri(saved) == {"u1": "attempt 1", "u2": "attempt 1", "u3": "attempt 2"}


@pytest.mark.parametrize(
    "other",
    [
        {"receipt": Receipt(run_id="other", shard_index=0, input_sha256="a" * 64)},
        {"receipt": Receipt(run_id="r", shard_index=1, input_sha256="a" * 64)},
        {"receipt": Receipt(run_id="r", shard_index=0, input_sha256="b" * 64)},
        {"config_hash": "another"},
    ],
)
def test_a_part_of_another_run_input_or_configuration_is_reported_and_ignored(
    tmp_path: Path, other: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    labeled(tmp_path, "u1")
    (part,) = tmp_path.iterdir()
    saved = new_checkpoint(tmp_path, **other)  # type: ignore[arg-type]
    saved.load()
    assert side_by_uri(saved) == {}
    assert (
        capsys.readouterr().err
        == f"{part}: ignored, it belongs to another run, input or configuration\n"
    )


def test_a_part_with_other_label_columns_is_reported_and_ignored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The classifier's package was updated between two attempts."""
    labeled(tmp_path, "u1")
    (part,) = tmp_path.iterdir()
    saved = new_checkpoint(tmp_path, columns=COLUMNS[:2])
    saved.load()
    assert saved.all_answers().num_rows == 0
    assert capsys.readouterr().err == f"{part}: ignored, it has other label columns\n"


def test_a_part_without_metadata_is_ignored(tmp_path: Path) -> None:
    pq.write_table(pa.table({"uri": ["u1"]}), tmp_path / "0001-a-0-1.parquet")
    saved = new_checkpoint(tmp_path)
    saved.load()
    assert saved.all_answers().num_rows == 0


@pytest.mark.parametrize("kept", [0, 3, 300, -1])
def test_a_truncated_part_is_reported_and_the_others_count(
    tmp_path: Path, kept: int, capsys: pytest.CaptureFixture[str]
) -> None:
    labeled(tmp_path, "u1", attempt=1)
    (part,) = tmp_path.iterdir()
    labeled(tmp_path, "u2", attempt=2)
    part.write_bytes(part.read_bytes()[:kept])
    saved = new_checkpoint(tmp_path, attempt=3)
    saved.load()
    assert side_by_uri(saved) == {"u2": "attempt 2"}
    assert capsys.readouterr().err.startswith(f"{part}: ignored, it cannot be decoded: ")


def test_a_damaged_byte_may_lose_the_part_but_never_changes_an_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labeled(tmp_path, *(f"u{number}" for number in range(50)))
    (part,) = tmp_path.iterdir()
    good = part.read_bytes()
    whole = new_checkpoint(tmp_path)
    whole.load()
    random = Random(0)
    for at in random.sample(range(len(good)), 500):
        part.write_bytes(good[:at] + bytes([good[at] ^ random.randrange(1, 256)]) + good[at + 1 :])
        saved = new_checkpoint(tmp_path)
        saved.load()
        table = saved.all_answers()
        named = capsys.readouterr().err.startswith(f"{part}: ignored, it ")
        assert table.num_rows == (0 if named else 50)
        assert named or table.equals(whole.all_answers())


def test_discard_deletes_only_parts_that_this_process_read_or_wrote(tmp_path: Path) -> None:
    labeled(tmp_path, "u1", attempt=1)
    saved = new_checkpoint(tmp_path, attempt=2)
    saved.load()
    saved.add(Answer("u2", VALUES))
    saved.flush()
    labeled(tmp_path, "u3", attempt=3)
    saved.discard()
    saved.discard()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith("0003-")


def test_discard_deletes_the_half_of_a_part_that_a_killed_process_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = tmp_path / f"{files.TEMPORARY_PREFIX}00ff-0001-cafe-00001-3.parquet"
    half.write_bytes(b"PAR1")
    damaged = tmp_path / "0001-cafe-00000-3.parquet"
    damaged.write_bytes(b"PAR1")
    saved = new_checkpoint(tmp_path, attempt=2)
    saved.load()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{damaged}: ")
    saved.discard()
    assert list(tmp_path.iterdir()) == [damaged], "a part is kept, whatever is wrong with it"


def test_a_deleted_folder_is_created_again(tmp_path: Path) -> None:
    folder = tmp_path / "work" / "00000"
    saved = labeled(folder, "u1")
    shutil.rmtree(folder)
    saved.add(Answer("u2", VALUES))
    assert task_processes.rows_in(folder) == 1
    saved.flush()
    assert task_processes.rows_in(folder) == 1


@pytest.fixture
def measured() -> Iterator[pa.MemoryPool]:
    """A memory pool of this test alone: its `max_memory()` is what the test's tables took."""
    before = pa.default_memory_pool()
    pool = pa.system_memory_pool()
    assert before.backend_name != pool.backend_name
    pa.set_memory_pool(pool)
    yield pool
    pa.set_memory_pool(before)


def test_memory_holds_the_responses_of_one_part_at_most(
    tmp_path: Path, measured: pa.MemoryPool
) -> None:
    """Those of a whole shard may exceed a task's memory, or what a `string` array can hold."""
    response = "x" * 100_000
    for attempt in (1, 2):
        saved = new_checkpoint(
            tmp_path, attempt=attempt, columns=(Column("tokens", "count"),), keep_raw=True
        )
        saved.load()
        for number in range(100):
            if number % 10 == 0:
                saved.flush()
            uri = f"u{attempt}-{number}"
            saved.add(Answer(uri, reason="x", facts={"tokens": 3}, raw=response))
        saved.flush()
        assert saved.counts() == {"tokens": 300 * attempt}
        assert saved.all_answers().num_rows == 100 * attempt
    assert sum(part.num_rows for part in saved.responses()) == 200
    assert measured.max_memory() < 60 * len(response)


def test_every_post_has_the_response_of_the_answer_that_counts(tmp_path: Path) -> None:
    """Two tasks at once may ask about the same post."""
    both = [new_checkpoint(tmp_path, attempt=attempt, keep_raw=True) for attempt in (1, 2)]
    for saved, side in zip(both, ("left", "right"), strict=True):
        for uri in ("a", "b") if side == "left" else ("b", "c"):
            saved.add(Answer(uri, VALUES | {"side": side}, raw=f"{side} of {uri}"))
        saved.flush()
    last = new_checkpoint(tmp_path, attempt=3, keep_raw=True)
    last.load()
    last.add(Answer("c", VALUES | {"side": "late"}, raw="late of c"))
    last.add(Answer("d", reason="too short"))
    assert side_by_uri(last) == {"a": "left", "b": "left", "c": "right", "d": None}
    responses = pa.concat_tables(last.responses())
    assert responses.schema == RAW_SCHEMA
    assert responses.select(["uri", "response"]).to_pylist() == [
        {"uri": "a", "response": "left of a"},
        {"uri": "b", "response": "left of b"},
        {"uri": "c", "response": "right of c"},
        {"uri": "d", "response": None},
    ]
    assert responses["label_timestamp"].equals(last.all_answers()["label_timestamp"])


def test_answers_stay_in_memory_when_the_disk_is_full(small_disk: Path) -> None:
    folder = small_disk / "00000"
    folder.mkdir()
    saved = new_checkpoint(folder)
    for number in range(2000):
        saved.add(Answer(f"u{number}", VALUES | {"side": str(number**9)}))
    fill(small_disk, leaving=8192)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        saved.flush()
    assert (list(folder.glob("*.parquet")), saved.pending) == ([], 2000)
    (small_disk / "filler").unlink()
    saved.flush()
    assert (task_processes.rows_in(folder), saved.pending) == (2000, 0)


def test_a_part_appears_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = new_checkpoint(tmp_path)
    saved.add(Answer("u1", VALUES))

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "_sync", killed)
    with pytest.raises(KeyboardInterrupt):
        saved.flush()
    assert list(tmp_path.glob("*.parquet")) == []


def test_a_task_of_a_moved_run_stops_and_does_not_create_its_former_folder_again(
    tmp_path: Path,
) -> None:
    run_dir = tmp_path / "runs" / "r"
    folder = run_dir / "work" / "00000"
    folder.mkdir(parents=True)
    task = labeled(folder, "1")
    heart = HeartbeatWriter(heartbeat.path_of(folder, 1), posts=2, rows=1, node="n1")
    now = run_dir.rename(tmp_path / "moved")
    task.add(Answer("2", VALUES))
    with pytest.raises(FileNotFoundError) as stopped:
        task.flush()
    assert stopped.value.filename == str(run_dir)
    heart.beat(1e6)
    assert not run_dir.exists()
    resumed = new_checkpoint(now / "work" / "00000", attempt=2)
    resumed.load()
    assert resumed.all_answers()["uri"].to_pylist() == ["1"]
