import errno
import json
import re
from datetime import datetime
from pathlib import Path

import pytest

from pipeline.errors import Cause, InputError, RunError, TaskError, UnreadableError
from pipeline.run_files import last_words
from pipeline.run_files.last_words import LastWords
from tests.pipeline.conftest import fill

KEY = "AIzaSy-very-secret"


class OutOfMemoryError(RuntimeError):
    """As torch.cuda's is named."""


class AcceleratorError(RuntimeError):
    """As torch names what a GPU's driver says."""


def die(run_dir: Path, error: BaseException, *, key: str | None = None) -> object:
    """Ends a task with this error; returns the exit code."""
    with pytest.raises(SystemExit) as end, last_words.recorded(run_dir, 2, 7, "qnode7") as dying:
        if key:
            dying.redact = lambda text: text.replace(key, "[key]")
        raise error
    return end.value.code


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (TaskError(Cause.THROTTLED, "quota"), Cause.THROTTLED),
        (InputError("no such run"), Cause.REFUSED),
        (UnreadableError(Path("a"), OSError(errno.ESTALE, "Stale")), Cause.CRASHED),
        (UnreadableError(Path("a"), MemoryError()), Cause.OUT_OF_MEMORY),
        (MemoryError("no more"), Cause.OUT_OF_MEMORY),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), Cause.OUT_OF_MEMORY),
        (OutOfMemoryError("on the GPU"), Cause.OUT_OF_MEMORY),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), Cause.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors"), Cause.OUT_OF_MEMORY),
        (AcceleratorError("HIP error: out of memory"), Cause.OUT_OF_MEMORY),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
            Cause.OUT_OF_MEMORY,
        ),
        (
            RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
            Cause.OUT_OF_MEMORY,
        ),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), Cause.OUT_OF_MEMORY),
        (
            RuntimeError(
                "NVML_SUCCESS == DriverAPI::get()->nvmlInit_v2_() INTERNAL ASSERT FAILED at "
                '"../c10/cuda/CUDACachingAllocator.cpp":963, please report a bug to PyTorch. '
            ),
            Cause.OUT_OF_MEMORY,
        ),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
                "memory: you tried to allocate 34359738368 bytes. Error code 12 (Cannot allocate "
                "memory)"
            ),
            Cause.OUT_OF_MEMORY,
        ),
        (
            RuntimeError(  # torch 2.5
                "[enforce fail at alloc_cpu.cpp:114] . DefaultCPUAllocator: can't allocate memory: "
                "you tried to allocate 1099511627776 bytes. Error code 12 (Cannot allocate memory)"
            ),
            Cause.OUT_OF_MEMORY,
        ),
        (RuntimeError("std::bad_alloc"), Cause.OUT_OF_MEMORY),
        (RuntimeError("could not create a primitive"), Cause.OUT_OF_MEMORY),
        (RuntimeError("could not create a primitive descriptor for a matmul"), Cause.CRASHED),
        # Such words may be a post's.
        (ValueError("CUDA out of memory"), Cause.CRASHED),
        (RuntimeError("no answer to 'std::bad_alloc'"), Cause.CRASHED),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), Cause.CRASHED),
        (RuntimeError("[enforce fail at inline_container.cc:257] . file not found"), Cause.CRASHED),
        # The device is of no use after these, with however little.
        (RuntimeError("CUDA error: device-side assert triggered"), Cause.CRASHED),
        (RuntimeError("CUDA error: unspecified launch failure"), Cause.CRASHED),
        (RuntimeError("no answer to 'CUDA error: out of memory'"), Cause.CRASHED),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), Cause.CRASHED),
        (ValueError("anything else"), Cause.CRASHED),
        (RunError("of a verb"), Cause.CRASHED),
    ],
)
def test_an_error_is_told_with_its_cause_and_ends_the_task_with_1(
    tmp_path: Path, error: Exception, cause: Cause, capsys: pytest.CaptureFixture[str]
) -> None:
    assert die(tmp_path, error) == 1
    words = last_words.read(tmp_path, 2, 7)
    assert words is not None
    assert words == LastWords(
        cause=cause,
        message=str(error),
        traceback=words.traceback,
        node="qnode7",
        written_at=words.written_at,
        stops_run=cause is Cause.REFUSED,
    )
    is_foreseen = isinstance(error, TaskError | InputError)
    assert ("in die\n    raise error\n" in words.traceback) is not is_foreseen
    assert datetime.fromisoformat(words.written_at).utcoffset() is not None
    shown = words.message if is_foreseen else words.traceback
    assert capsys.readouterr().err == shown + "\n"


def test_an_error_that_wraps_another_shows_where_that_came_from(tmp_path: Path) -> None:
    error = TaskError(Cause.REFUSED, "the model cannot be used")
    error.__cause__ = ValueError("no such layer")
    die(tmp_path, error)
    words = last_words.read(tmp_path, 2, 7)
    assert words is not None
    assert words.traceback.startswith("ValueError: no such layer\n")


def test_notes_of_a_foreseen_error_follow_its_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = TaskError(Cause.CRASHED, "the server ended")
    error.add_note("the last line of its log")
    die(tmp_path, error)
    words = last_words.read(tmp_path, 2, 7)
    assert words is not None
    assert words.traceback == "the last line of its log"
    assert capsys.readouterr().err == "the server ended\nthe last line of its log\n"


def test_an_error_without_a_message_is_called_by_its_type(tmp_path: Path) -> None:
    die(tmp_path, ZeroDivisionError())
    words = last_words.read(tmp_path, 2, 7)
    assert words is not None
    assert words.message == "ZeroDivisionError"


def test_the_key_is_taken_out_of_message_traceback_and_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    die(tmp_path, ValueError(f"GET ?key={KEY}"), key=KEY)
    content = last_words.path_of(tmp_path, 2, 7).read_text()
    shown = capsys.readouterr()
    assert KEY not in content + shown.out + shown.err
    assert json.loads(content)["message"] == "GET ?key=[key]"
    assert "ValueError: GET ?key=[key]" in shown.err


def test_the_error_itself_goes_no_further(tmp_path: Path) -> None:
    """submitit would print and pickle it, with the key."""
    with pytest.raises(SystemExit) as end, last_words.recorded(tmp_path, 2, 7, "n"):
        raise ValueError(KEY)
    assert end.value.__cause__ is None
    assert end.value.__suppress_context__


@pytest.mark.parametrize("error", [SystemExit(143), KeyboardInterrupt()])
def test_what_is_no_error_leaves_no_words(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), last_words.recorded(tmp_path, 2, 7, "n"):
        raise error
    assert last_words.read(tmp_path, 2, 7) is None


def test_a_task_that_ends_well_leaves_no_words(tmp_path: Path) -> None:
    with last_words.recorded(tmp_path, 2, 7, "n"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_new_life_of_an_attempt_takes_its_forerunners_words_away(tmp_path: Path) -> None:
    die(tmp_path, ValueError("first life"))
    with last_words.recorded(tmp_path, 2, 7, "n"):
        assert last_words.read(tmp_path, 2, 7) is None


def test_attempts_and_shards_have_words_of_their_own(tmp_path: Path) -> None:
    die(tmp_path, ValueError("x"))
    assert last_words.path_of(tmp_path, 2, 7) == tmp_path / "logs/0002/00007.last-words.json"
    assert last_words.read(tmp_path, 1, 7) is None
    assert last_words.read(tmp_path, 2, 6) is None


def test_a_long_traceback_is_cut_at_its_beginning(tmp_path: Path) -> None:
    die(tmp_path, ValueError("begin" + "x" * 30_000 + "end"))
    words = last_words.read(tmp_path, 2, 7)
    assert words is not None
    assert len(words.traceback) == last_words.LONGEST_TRACEBACK
    assert words.traceback.endswith("xend\n")


def test_a_message_that_is_no_text_is_told_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a surrogate pair, as a path of other bytes has; no file can hold it as it is."""
    assert die(tmp_path, ValueError(f"{KEY} \udcff"), key=KEY) == 1
    words = last_words.read(tmp_path, 2, 7)
    assert words is not None
    assert words.message == "[key] \\udcff"
    assert KEY not in capsys.readouterr().err


def test_a_full_disk_does_not_change_how_the_task_ends(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small_disk / "logs" / "0002").mkdir(parents=True)
    fill(small_disk, leaving=0)
    assert die(small_disk, ValueError("first of all")) == 1
    err = capsys.readouterr().err
    assert "ValueError: first of all" in err
    path = last_words.path_of(small_disk, 2, 7)
    assert re.search(rf"^{path}: not written: .*No space left", err, re.MULTILINE)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", " is damaged: it is not JSON (Input data was truncated)"),
        (b"[]", ": the file: should be a mapping of keys, not []"),
        (b"\xff", " is damaged: it is not JSON "),
        (
            b'{"cause": "mood", "message": "", "traceback": "", "node": "n", "written_at": ""}',
            ": cause: should be one of out_of_memory, timeout, ",
        ),
        (b'{"cause": "crashed"}', ": 4 problems"),
    ],
)
def test_words_that_cannot_be_read_are_reported_with_their_file(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = last_words.path_of(tmp_path, 2, 7)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(InputError) as rejected:
        last_words.read(tmp_path, 2, 7)
    assert str(rejected.value).startswith(f"{path}{problem}")


def test_words_that_version_6f9faab_wrote_are_read(tmp_path: Path) -> None:
    path = last_words.path_of(tmp_path, 2, 7)
    path.parent.mkdir(parents=True)
    path.write_text(
        '{"cause": "refused", "message": "a bad key", "traceback": "…", "node": "n1", '
        '"written_at": "2026-11-29T12:25:25+00:00", "stops_run": true}'
    )
    assert last_words.read(tmp_path, 2, 7) == LastWords(
        cause=Cause.REFUSED,
        message="a bad key",
        traceback="…",
        node="n1",
        written_at="2026-11-29T12:25:25+00:00",
        stops_run=True,
    )


def test_words_of_another_version_reject_no_other_shard(tmp_path: Path) -> None:
    path = last_words.path_of(tmp_path, 2, 6)
    path.parent.mkdir(parents=True)
    path.write_text('{"cause": "mood"}')
    assert last_words.earlier_rejection(tmp_path, 2, 7) is None


def words_of(run_dir: Path, index: int, error: Exception) -> None:
    with pytest.raises(SystemExit), last_words.recorded(run_dir, 2, index, "n"):
        raise error


@pytest.mark.parametrize(
    ("error", "stops"),
    [
        (TaskError(Cause.REFUSED, "x"), True),
        (TaskError(Cause.REFUSED, "x", stops_run=False), False),
        (TaskError(Cause.CRASHED, "x"), False),
        (TaskError(Cause.THROTTLED, "x", stops_run=True), True),
        (InputError("x"), True),
        (ValueError("x"), False),
    ],
)
def test_words_say_whether_other_shards_would_fare_no_better(
    tmp_path: Path, error: Exception, stops: bool
) -> None:
    words_of(tmp_path, 3, error)
    words = last_words.read(tmp_path, 2, 3)
    assert words is not None
    assert words.stops_run is stops
    expected = "stopped at once: shard 3 was refused: x" if stops else None
    assert last_words.earlier_rejection(tmp_path, 2, 7) == expected


def test_a_refusal_is_another_shards_of_the_same_attempt(tmp_path: Path) -> None:
    assert last_words.earlier_rejection(tmp_path, 2, 7) is None
    words_of(tmp_path, 7, TaskError(Cause.REFUSED, "no key"))
    assert last_words.earlier_rejection(tmp_path, 2, 7) is None
    assert last_words.earlier_rejection(tmp_path, 3, 8) is None


def test_a_refusal_told_on_is_told_as_it_was(tmp_path: Path) -> None:
    first = "stopped at once: shard 3 was refused: no key"
    words_of(tmp_path, 9, TaskError(Cause.REFUSED, first))
    assert last_words.earlier_rejection(tmp_path, 2, 12) == first


def test_few_of_many_words_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(60):
        words_of(tmp_path, index, ValueError("x"))
    looked_at: list[int] = []
    real = last_words.read

    def counting(run_dir: Path, attempt: int, index: int) -> LastWords | None:
        looked_at.append(index)
        return real(run_dir, attempt, index)

    monkeypatch.setattr(last_words, "read", counting)
    assert last_words.earlier_rejection(tmp_path, 2, 70) is None
    assert looked_at == list(range(59, 27, -1))
    words_of(tmp_path, 58, TaskError(Cause.REFUSED, "no key"))
    looked_at.clear()
    assert last_words.earlier_rejection(tmp_path, 2, 70) is not None
    assert looked_at == [59, 58]


def test_words_of_an_older_version_can_be_read(tmp_path: Path) -> None:
    words_of(tmp_path, 3, ValueError("x"))
    path = last_words.path_of(tmp_path, 2, 3)
    values = json.loads(path.read_text())
    del values["stops_run"]
    path.write_text(json.dumps(values))
    words = last_words.read(tmp_path, 2, 3)
    assert words is not None
    assert words.stops_run is False


@pytest.mark.parametrize(
    ("error", "blames"),
    [
        (TaskError(Cause.CRASHED, "x"), False),
        (TaskError(Cause.CRASHED, "x", blames_post=True), True),
        (ValueError("x"), True),
        (SystemExit(3), True),
        (KeyboardInterrupt(), True),
        (MemoryError(), False),
        (RuntimeError("CUDA error: out of memory"), False),
        (InputError("x"), False),
    ],
)
def test_which_deaths_of_a_classifier_may_be_a_posts_fault(
    error: BaseException, blames: bool
) -> None:
    assert last_words.blames_post(error) is blames
