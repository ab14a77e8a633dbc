"""A run that another user submitted, or another copy of the project."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.hpc.users import BO, GROUP, command_of, only_root, shared_folder
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import SlurmCluster, wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = [pytest.mark.slurm, only_root]


def open_to_the_group(folder: pathlib.Path) -> None:
    """Make a folder and all in it as a group with umask 002 has it."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, -1, GROUP)
        path.chmod(path.stat().st_mode | (0o2070 if path.is_dir() else 0o060))


@pytest.fixture
def discreet_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """A cluster that shows users their own jobs only."""
    folder = tmp_path_factory.mktemp("slurm")
    with SlurmCluster(folder, nodes=1, extra_conf=["PrivateData=jobs"]) as booted:
        yield booted


@pytest.fixture
def group_folder() -> Iterator[pathlib.Path]:
    """A folder of the group, in which a colleague may submit, too."""
    with shared_folder() as folder:
        yield folder


def hpc_of_colleague(bench: Bench, verb: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a verb as another user of the group."""
    return subprocess.run(
        command_of(BO, sys.executable, "-m", f"hpc.{verb}", *words),
        cwd=bench.folder, env={**bench.env, "PYTHONDONTWRITEBYTECODE": "1"}, umask=0o002,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_colleague_who_sees_no_jobs_submits_nothing_again(
    discreet_cluster: SlurmCluster, tmp_path: pathlib.Path
) -> None:
    """One task works and one is pending, and Slurm's answer is empty, with exit code 0."""
    bench = Bench(discreet_cluster, tmp_path)
    bench.script(0, "wait")
    source = posts.json_lines(bench.folder / "p.jsonl", 20)
    config = bench.config(
        source, sharding={"shards": 2}, cluster={"max_parallel": 1, "grace_seconds": 1},
        storage={"trust_group": True},
    )  # fmt: skip
    run = pathlib.Path(bench.document("submit", "--config", config)["run_dir"])
    wait_for(
        lambda: bench.states() == {0: ("running", None), 1: ("queued", None)}, 60, "shard 0 runs"
    )
    open_to_the_group(bench.folder)
    assert_nothing_is_submitted(bench, run)
    (bench.scripts / "go").touch()
    assert bench.document("supervise")["state"] == "complete"
    assert sorted(bench.asked()) == sorted(uri for uri, _, _ in posts.rows(20))


@pytest.mark.parametrize("is_of_earlier_version", [False, True])
def test_pending_tasks_without_a_heartbeat_are_not_taken_for_lost(
    discreet_cluster: SlurmCluster, group_folder: pathlib.Path, is_of_earlier_version: bool
) -> None:
    """After the grace time, nothing in the folder shows that they are there."""
    bench = Bench(discreet_cluster, group_folder)
    (node,) = discreet_cluster.node_names
    source = posts.json_lines(bench.folder / "p.jsonl", 20)
    config = bench.config(
        source, sharding={"shards": 2}, cluster={"grace_seconds": 0.1},
        storage={"trust_group": True},
    )  # fmt: skip
    discreet_cluster.run("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test")
    try:
        run = pathlib.Path(bench.document("submit", "--config", config)["run_dir"])
        record = run / "submissions" / "0001.json"
        if is_of_earlier_version:  # its record does not say who submitted; its owner does
            values = json.loads(record.read_text())
            del values["submitter"]
            record.write_text(json.dumps(values))
        open_to_the_group(bench.folder)
        assert_nothing_is_submitted(bench, run)
        # A lost record hides the array from the folder as well.
        kept = record.read_bytes()
        record.unlink()
        refused = hpc_of_colleague(bench, "supervise", "--once", run)
        assert refused.returncode == 1, refused
        assert "only root" in refused.stderr
        record.write_bytes(kept)
    finally:
        discreet_cluster.run("scontrol", "update", f"NodeName={node}", "State=RESUME")
    assert bench.document("supervise")["state"] == "complete"
    assert sorted(bench.asked()) == sorted(uri for uri, _, _ in posts.rows(20))


def assert_nothing_is_submitted(bench: Bench, run: pathlib.Path) -> None:
    """Whatever a colleague types, both shards are unknown, and their owner is named."""
    seen = hpc_of_colleague(bench, "status", "--json", run)
    assert seen.returncode == 3, seen
    shards = json.loads(seen.stdout)["shards"]
    assert [shard["state"] for shard in shards] == ["unknown", "unknown"]
    assert "root" in shards[1]["message"]
    for verb, *words in (("resubmit",), ("resubmit", "--force"), ("supervise", "--once")):
        answer = hpc_of_colleague(bench, verb, *words, run)
        assert (answer.returncode, "Traceback" in answer.stderr) == (3, False), answer
    assert [path.name for path in (run / "submissions").iterdir()] == ["0001.json"]


def test_cancel_leaves_the_jobs_of_others_and_of_other_copies_alone(bench: Bench) -> None:
    bench.script(0, "wait")
    source = posts.json_lines(bench.folder / "p.jsonl", 20)
    config = bench.config(source, sharding={"shards": 1})
    submitted = bench.document("submit", "--config", config)
    (job,), run = submitted["array_jobs"], pathlib.Path(submitted["run_dir"])
    wait_for(lambda: bench.states() == {0: ("running", None)}, 60, "the task runs")

    open_to_the_group(run.parent)
    refused = hpc_of_colleague(bench, "cancel", run)
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False), refused
    assert f"{job}: " in refused.stdout
    assert "belongs to root" in refused.stdout

    copy = shutil.copytree(run.parent, bench.folder / "copy" / "runs")
    assert bench.document("cancel", copy / run.name)["cancelled_jobs"] == []
    assert bench.states() == {0: ("running", None)}

    moved = run.rename(bench.folder / run.name)
    assert bench.document("cancel", moved)["cancelled_jobs"] == [job]
