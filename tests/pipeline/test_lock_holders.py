"""Who holds a file is read from the kernel, and what a process was told stays secret."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.system.lock_holders import LockHolder, find_lock_holders, name_program

LOCK = (
    "import fcntl, sys; f = open(sys.argv[1], 'r+b'); "
    "fcntl.lockf(f, fcntl.LOCK_SH if sys.argv[2] == 'shared' else fcntl.LOCK_EX); "
    "print('locked', flush=True); input()"
)


def lock(path: Path, how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", LOCK, str(path), how, "--password=secret"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


@pytest.mark.parametrize(("how", "count"), [("shared", 3), ("exclusive", 1)])
def test_every_holder_is_found(tmp_path: Path, how: str, count: int) -> None:
    path = tmp_path / "file"
    path.touch()
    processes = [lock(path, how) for _ in range(count)]
    holders = find_lock_holders(path)
    for process in processes:
        process.communicate("\n")
    assert {holder.pid for holder in holders} == {process.pid for process in processes}
    assert all(holder.is_here and holder.user for holder in holders)
    assert not any("secret" in str(holder) for holder in holders)
    assert find_lock_holders(path) == ()


def test_a_file_that_is_gone_has_no_holder(tmp_path: Path) -> None:
    assert find_lock_holders(tmp_path / "gone") == ()


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ((), ""),
        (("/usr/bin/python3", "-m", "ipykernel_launcher", "-f", "k.json"),
         "python3 -m ipykernel_launcher"),
        (("/usr/lib/R/bin/exec/R", "--no-save"), "R"),
        (("python", "-u", "/home/ana/label.py", "--key=secret"), "python label.py"),
        (("python", "-c", "import secret"), "python"),
    ],
)  # fmt: skip
def test_a_program_is_named_with_what_it_runs(words: tuple[str, ...], name: str) -> None:
    assert name_program(words) == name


@given(st.lists(st.text()))
def test_a_program_is_named_by_three_words_at_most(words: list[str]) -> None:
    assert name_program(words).count(" ") <= 2 + sum(word.count(" ") for word in words)


def test_a_process_of_another_machine_is_called_one() -> None:
    there = LockHolder(pid=7, program="", user="", is_here=False)
    assert "another machine" in str(there)
    assert "7" in str(there)
