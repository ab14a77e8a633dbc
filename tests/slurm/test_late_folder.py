"""A login node and four nodes of a real Slurm, of which each sees what others do in the shared
folder half a minute late, as NFS's clients do unless they are told otherwise (acdirmin, nfs(5))."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.run_files.manifest import output_path
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import SlurmCluster, wait_for
from tests.slurm.private_cluster.commands import Bench
from tests.slurm.test_quota import use_one_quota_up

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.late,
    pytest.mark.skipif(not shutil.which("fusermount3"), reason="no FUSE: .ci/test-late-folder"),
]

LATE_S = 30


class Site:
    """The user's bench, and the folder `truth` in which nothing is late."""

    def __init__(self, cluster: SlurmCluster, shared: Path, truth: Path) -> None:
        self.bench = Bench(cluster, shared)
        self.truth = truth

    def as_it_is(self, path: Path) -> Path:
        return self.truth / path.relative_to(self.bench.folder)


def view(truth: Path, shared: Path) -> list[str]:
    program = [sys.executable, "-m", "tests.slurm.private_cluster.late_folder"]
    return [*program, str(truth), str(shared), str(LATE_S)]


@pytest.fixture
def late_site(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    truth, shared = tmp_path / "truth", tmp_path / "shared"
    truth.mkdir()
    shared.mkdir()
    project = str(Path(__file__).parents[2])
    own_mounts = ["unshare", "--mount", "--propagation", "private", "env", f"PYTHONPATH={project}"]
    login = subprocess.Popen(view(truth, shared), cwd=project)
    try:
        wait_for(lambda: os.path.ismount(shared), 20, "the login node has its view")
        with SlurmCluster(
            tmp_path_factory.mktemp("slurm"), before_slurmd=[*own_mounts, *view(truth, shared)]
        ) as cluster:
            yield Site(cluster, shared, truth)
    finally:
        subprocess.run(["umount", "--lazy", shared], check=False)
        login.wait()


def test_the_login_node_sees_a_nodes_files_late(late_site: Site) -> None:
    made = late_site.bench.folder / "made-by-a-task"
    assert not made.exists()
    late_site.bench.cluster.run("srun", "touch", str(made))
    assert late_site.as_it_is(made).exists()
    assert not made.exists()
    (late_site.bench.folder / "made-here").touch()
    assert made.exists()


def test_one_quota_is_used_up_and_never_exceeded(late_site: Site) -> None:
    use_one_quota_up(late_site.bench)


def test_a_task_that_died_resumes_and_asks_nothing_twice(late_site: Site) -> None:
    bench = late_site.bench
    backlog = posts.json_lines(bench.folder / "posts.jsonl", 200)
    bench.script(1, "die")
    bench.script(2, "fail")
    config = bench.config(backlog, cluster={"grace_seconds": LATE_S + 10})
    run = bench.document("submit", "--config", config)
    ended = bench.document("supervise", run["run_dir"])
    assert ended["state"] == "complete"
    assert [shard["attempts"] for shard in ended["shards"]] == [1, 2, 2, 1]
    assert set(asked(late_site).values()) == {1}
    assert len(asked(late_site)) == 200


def test_a_shard_whose_output_is_not_visible_yet_does_not_run_again(late_site: Site) -> None:
    """As cluster.grace_seconds is too short here, its shard may be given to another task, which
    finds the output there."""
    bench = late_site.bench
    backlog = posts.json_lines(bench.folder / "posts.jsonl", 200)
    config = bench.config(backlog, cluster={"grace_seconds": 3}, retry={"max_attempts": 9})
    run = bench.document("submit", "--config", config)
    run_dir = Path(run["run_dir"])
    outputs = [late_site.as_it_is(output_path(run_dir, index)) for index in range(4)]
    ended = bench.document("supervise", run_dir)
    assert all(path.exists() for path in outputs)
    assert ended["state"] == "complete"
    assert set(asked(late_site).values()) == {1}
    assert len(asked(late_site)) == 200


def test_a_run_that_sbatch_rejects_is_removed_although_its_lock_is_open(late_site: Site) -> None:
    bench = late_site.bench
    backlog = posts.json_lines(bench.folder / "posts.jsonl", 20)
    config = bench.config(backlog, cluster={"account": "nobodys"})
    refused = bench.hpc("submit", "--config", config)
    assert "Invalid account" in refused.stderr, refused
    assert not list((bench.folder / "runs").glob("[!.]*"))
    config = bench.config(backlog, cluster={"grace_seconds": LATE_S + 10})
    run = bench.document("submit", "--config", config)
    assert run["posts"] == 20
    assert not list((bench.folder / "runs").glob(".planning-*"))
    assert bench.document("supervise", run["run_dir"])["state"] == "complete"


def asked(site: Site) -> Counter[str]:
    paths = site.as_it_is(site.bench.scripts).glob("asked-*")
    return Counter(uri for path in paths for uri in path.read_text().splitlines())
