"""Processes of other users than the one who runs the tests, with a umask of their own."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hpc.cli_bench import Bench
from tests.hpc.in_process import Done

ANA, BO, GROUP = 61_001, 61_002, 61_000
# Python may lie in a folder that is closed to them. This lets them read it, and write nothing.
_MAY_READ = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")

only_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root, and setpriv"
)


def command_of(user: int, *words: object) -> list[str]:
    """Return a command that another user of the group runs."""
    ids = ("--reuid", str(user), "--regid", str(GROUP), "--clear-groups")
    return ["setpriv", *ids, *_MAY_READ, *map(str, words)]


def call(
    bench: Bench, folder: Path, user: int, verb: str, *arguments: object, umask: int = 0o002
) -> Done:
    """Return what a verb did that a user ran in a folder."""
    return subprocess.run(
        command_of(user, sys.executable, "-m", f"hpc.{verb}", *arguments),
        cwd=folder,
        env={**bench.env, "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        umask=umask,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@contextlib.contextmanager
def shared_folder() -> Iterator[Path]:
    """Yield a folder of Ana's group. It is not below pytest's own folder, which is closed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chown(folder, ANA, GROUP)
        folder.chmod(0o2775)
        yield folder
