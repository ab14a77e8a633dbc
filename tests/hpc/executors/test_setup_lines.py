"""The lines of `cluster.setup` as bash runs them in a batch script."""

import subprocess
from pathlib import Path

import pytest

from hpc.executors.slurm.setup_lines import guard_setup

STARTED = "the task started\n"


def ran(folder: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    """A batch script of these lines, whose task says that it started and exits with 7."""
    script = folder / "slurm_script"
    task = ["echo the task started", "exit 7", ""]
    script.write_text("\n".join(["#!/bin/bash", *guard_setup(lines), *task]))
    return subprocess.run(
        ["bash", script.name], cwd=folder, capture_output=True, text=True, timeout=30
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "profile.sh").write_text(
        '[ -n "$NOWHERE" ] && echo never\nfalse\nls $UNSET_OPTION >/dev/null\nexport SITE=quest\n'
    )
    (tmp_path / "broken.sh").write_text('echo "no such module" >&2\nreturn 5\n')
    (tmp_path / "modules.sh").write_text(
        'module() { grep -q "$2" /dev/null; [ "$2" != missing ] || return 3; export MODULE=$2; }\n'
    )
    return tmp_path


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("source profile.sh", 'test "$SITE" = quest'),
        (". ./modules.sh", "module load conda", 'test "$MODULE" = conda'),
        ("false || true", "[ -f nowhere ] && source nowhere", "! false", "false | cat"),
        ("if false; then", "  exit 1", "else", "  export A=1", "fi", 'test "$A" = 1'),
        ("cat >/dev/null <<EOF", "false", "EOF"),
        ("echo unset: $NOWHERE >/dev/null", "sleep 0 &", "wait"),
        ("set -euo pipefail", "trap 'echo bye >/dev/null' EXIT", "trap ':' ERR"),
    ],
)
def test_lines_that_succeed_let_the_task_start(folder: Path, lines: tuple[str, ...]) -> None:
    done = ran(folder, *lines)
    assert (done.returncode, done.stdout) == (7, STARTED), done.stderr


@pytest.mark.parametrize(
    ("lines", "code", "failed"),
    [
        (("export A=1", "(exit 42)", "echo on"), 42, "(exit 42)"),
        (("source nowhere/bin/activate",), 1, "source nowhere/bin/activate"),
        ((". ./modules.sh", "module load missing"), 3, "module load missing"),
        (("source broken.sh",), 5, "source broken.sh"),
        (("cd nowhere; echo on",), 1, "cd nowhere; echo on"),
        (("no-such-command --at-all",), 127, "no-such-command --at-all"),
        (("set -eu", "false"), 1, "false"),
    ],
)
def test_a_line_that_fails_ends_the_script_with_its_status_and_is_named(
    folder: Path, lines: tuple[str, ...], code: int, failed: str
) -> None:
    done = ran(folder, *lines)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.splitlines()[-1] == (
        f"hpc: cluster.setup failed with exit code {code}, so the task did not start: {failed}"
    )


@pytest.mark.parametrize(("lines", "code"), [(("exit 0",), 1), (("echo ok >&2", "exit 4"), 4)])
def test_a_line_that_ends_the_script_is_no_success(
    folder: Path, lines: tuple[str, ...], code: int
) -> None:
    done = ran(folder, *lines)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.splitlines()[-1].startswith("hpc: a line of cluster.setup ended the script")
