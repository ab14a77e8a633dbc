"""How a verb ends: what each error says, and its exit code."""

import argparse
import errno
import os
from typing import Any

import duckdb
import pytest

from hpc.verb import Verb
from pipeline.errors import InputError, RunError

FULL = "the disk or your quota is full. Nothing is lost: make room, then run the same command again"
STILL_RUNNING = "interrupted; nothing is lost, and jobs that were submitted to Slurm keep running."


def end_with(error: BaseException, **options: Any) -> int:
    def act(*_: object) -> tuple[int, dict[str, Any]]:
        raise error

    verb = Verb(name="test", example="hpc test", arguments=lambda _: None, act=act)
    return verb.run(argparse.Namespace(**{"json": False, "debug": False, **options}))


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("a.yaml: no such key"), 2, "a.yaml: no such key"),
        (RunError("sbatch failed"), 1, "sbatch failed"),
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "a.csv"), 1,
         "a.csv: No such file or directory"),
        (OSError("half a header"), 1, "half a header"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/1"), 1, f"runs/1: {FULL}"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), 1, FULL),
        (duckdb.Error("Out of Memory"), 1, "DuckDB: Out of Memory"),
        (KeyboardInterrupt(), 130, f"{STILL_RUNNING} To resume, run the same command"),
    ],
)  # fmt: skip
def test_an_error_has_a_message_and_an_exit_code(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end_with(error) == code
    assert capsys.readouterr() == ("", f"error: {message}\n")


def test_an_interrupted_submit_with_a_limit_is_resumed_by_supervise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same command would label that many posts more."""
    assert end_with(KeyboardInterrupt(), limit=30) == 130
    assert capsys.readouterr().err == f"error: {STILL_RUNNING} To resume, run hpc supervise\n"


def test_only_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    end_with(RunError("sbatch failed"), debug=True)
    lines = capsys.readouterr().err.splitlines()
    assert (lines[0], lines[-1]) == (
        "Traceback (most recent call last):", "error: sbatch failed",
    )  # fmt: skip


def test_a_defect_of_the_program_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        end_with(ZeroDivisionError())
