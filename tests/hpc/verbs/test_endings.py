"""How a verb ends: what each error says, and its exit code."""

import argparse
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from hpc.command_line.verb import Verb
from pipeline.errors import InputError, Interruption, RunError
from pipeline.sql import MemoryLimitError

MORE_MEMORY = (
    "Set storage.memory_gb to more in the configuration, and run the same command again. For a run "
    "that exists: hpc resubmit RUN --set storage.memory_gb=16"
)
FULL = "the disk or your quota is full. Make room, then run the same command again"
NO_MEMORY = (
    "this machine gives this process no more memory. Run the same command again "
    "where there is more, such as on another login node or in a job"
)
LEFT = "nothing was changed"


def end_with(error: BaseException, **options: Any) -> int:
    def act(*_: object) -> tuple[int, dict[str, Any]]:
        raise error

    verb = Verb(
        name="test",
        example="hpc test",
        arguments=lambda _: None,
        act=act,
        if_interrupted=LEFT,
    )
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
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM), "runs/1"), 1,
         f"runs/1: Cannot allocate memory: {NO_MEMORY}"),
        (MemoryError(), 1, f"out of memory: {NO_MEMORY}"),
        (duckdb.DatabaseError("Out of Memory"), 1, "DuckDB: Out of Memory"),
        (duckdb.OutOfMemoryException("Out of Memory"), 1, f"DuckDB: Out of Memory\n{MORE_MEMORY}"),
        (duckdb.OutOfMemoryException("the 'max_temp_directory_size' setting"), 1,
         f"DuckDB: the 'max_temp_directory_size' setting\n{FULL}"),
        (MemoryLimitError("adopting", "Out of Memory"), 1,
         f"DuckDB reached its memory limit for adopting: Out of Memory\n{MORE_MEMORY}"),
    ],
)  # fmt: skip
def test_an_error_has_a_message_and_an_exit_code(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end_with(error) == code
    assert capsys.readouterr() == ("", f"error: {message}\n")


def test_no_space_is_memory_where_ulimit_is_small_and_the_disk_has_room(tmp_path: Path) -> None:
    """mmap and the start of a thread report it so; a full quota reports it too."""
    code = (
        "import errno, resource, sys; from hpc.display.system_error import describe_system_error\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 << 30, resource.RLIM_INFINITY))\n"
        "error = OSError(errno.ENOSPC, 'No space left on device', *sys.argv[1:])\n"
        "print(describe_system_error(error))"
    )

    def described(*path: str) -> str:
        command = [sys.executable, "-c", code, *path]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    few = "which `ulimit -v` limits to 3.0 GiB here"
    assert few in described() and few in described(str(tmp_path / "not" / "there"))
    # Nothing can be written to a file system without blocks.
    assert "full" in described("/proc/self/status")


@pytest.mark.parametrize(
    ("interruption", "message"),
    [
        (KeyboardInterrupt(), f"interrupted; {LEFT}"),
        (Interruption("stopped watching"), "stopped watching"),
    ],
)
def test_an_interruption_says_what_it_leaves_behind_and_is_no_error(
    interruption: BaseException, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end_with(interruption) == 130
    assert capsys.readouterr() == ("", f"{message}\n")


def test_only_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    end_with(RunError("sbatch failed"), debug=True)
    lines = capsys.readouterr().err.splitlines()
    assert (lines[0], lines[-1]) == (
        "Traceback (most recent call last):", "error: sbatch failed",
    )  # fmt: skip


def test_a_defect_of_the_program_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        end_with(ZeroDivisionError())
