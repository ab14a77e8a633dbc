"""A run that another user submitted, or another copy of the project."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from tests.hpc.users import BO, GROUP, command_of, only_root
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = [pytest.mark.slurm, only_root]


def open_to_the_group(folder: pathlib.Path) -> None:
    """Make a folder and all in it as a group with umask 002 has it."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, -1, GROUP)
        path.chmod(path.stat().st_mode | (0o2070 if path.is_dir() else 0o060))


def test_cancel_leaves_the_jobs_of_others_and_of_other_copies_alone(bench: Bench) -> None:
    bench.script(0, "wait")
    source = posts.json_lines(bench.folder / "p.jsonl", 20)
    config = bench.config(source, sharding={"shards": 1})
    submitted = bench.document("submit", "--config", config)
    (job,), run = submitted["array_jobs"], pathlib.Path(submitted["run_dir"])
    wait_for(lambda: bench.states() == {0: ("running", None)}, 60, "the task runs")

    open_to_the_group(run.parent)
    refused = subprocess.run(
        command_of(BO, sys.executable, "-m", "hpc.cancel", run),
        cwd=bench.folder, env={**bench.env, "PYTHONDONTWRITEBYTECODE": "1"}, umask=0o002,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False), refused
    assert f"{job}: " in refused.stdout
    assert "belongs to root" in refused.stdout

    copy = shutil.copytree(run.parent, bench.folder / "copy" / "runs")
    assert bench.document("cancel", copy / run.name)["cancelled_jobs"] == []
    assert bench.states() == {0: ("running", None)}

    moved = run.rename(bench.folder / run.name)
    assert bench.document("cancel", moved)["cancelled_jobs"] == [job]
