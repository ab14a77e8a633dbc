"""Compare `hpc submit` with a bare sbatch on a real Slurm, and count the files of a run.

    python -m benchmarks.slurm_submit [--shards 1000] [--rounds 3] [--finished 20]
                                      [--results FILE.json]

A private Slurm is booted in a temporary folder, as the tests do, which needs root. Then, in turns,
a run of all shards is submitted, and a bare array of as many tasks that do nothing. They wait for
a node that takes no jobs, and are cancelled before the next round. Last, a small run goes through
its whole life, and its files are counted as it ends, and after they are gathered and packed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb

from benchmarks.paired import Took, compare, in_turns, python, report, run_child
from hpc.runs import find_runs
from tests.slurm.private_cluster.cluster import ACCOUNT, SlurmCluster
from tests.slurm.private_cluster.programs import environment

CONFIG = """\
name: {name}
backlog: {{source: {folder}/{name}.parquet}}
sharding: {{rows_per_shard: 10}}
classifier: {{type: valence}}
cluster: {{executor: slurm, account: {account}, time_min: 5, mem_gb: 0.4, max_parallel: 4}}
storage: {{run_root: {folder}/runs, database: {folder}/labels.duckdb}}
"""
POSTS = (
    "SELECT '{name}' || i AS uri, 'post ' || i AS text, '2024-05-31-13:00:00' "
    "AS preprocessing_timestamp FROM range({count}) t(i)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--finished", type=int, default=20)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hpc-bench-") as name:
        folder = Path(name)
        with SlurmCluster(folder / "slurm", nodes=1, cpus=2) as cluster:
            env = {**os.environ, **environment(), **cluster.env}
            node = f"nodename={cluster.node_names[0]}"
            cluster.run("scontrol", "update", node, "state=drain", "reason=benchmark")
            submitting = Submitting(folder, cluster, env, options.shards)
            took = in_turns(submitting.contestants(), options.rounds)
            submitting.cancel()
            cluster.run("scontrol", "update", node, "state=resume")
            figure = compare("submit", "sbatch", took, "2 s more")
            report(f"{options.shards:,} shards of 10 posts", [figure], options.results)
            count_files(folder, env, options.finished)


class Submitting:
    """The work of submitting, on one cluster."""

    def __init__(
        self, folder: Path, cluster: SlurmCluster, env: dict[str, str], shards: int
    ) -> None:
        """Write the posts and the configuration of the large run."""
        self.folder, self.cluster, self.env, self.shards = folder, cluster, env, shards
        self.config = configure(folder, "large", shards)

    def contestants(self) -> dict[str, Callable[[], Took]]:
        """Return both ways of submitting."""
        bare = (
            "sbatch", f"--account={ACCOUNT}", "--time=5", "--mem=400", "--output=/dev/null",
            f"--array=0-{self.shards - 1}%4", "--wrap=true",
        )  # fmt: skip
        ours = python("-m", "hpc.submit", "--config", self.config)
        return {"sbatch": self._after_cancel(bare), "submit": self._after_cancel(ours)}

    def _after_cancel(self, command: Sequence[str]) -> Callable[[], Took]:
        def act() -> Took:
            self.cancel()
            return run_child(command, self.env)

        return act

    def cancel(self) -> None:
        """End all jobs, and remove the runs: the next submit takes the same posts."""
        self.cluster.run("scancel", "--user=root")
        shutil.rmtree(self.folder / "runs", ignore_errors=True)
        for path in self.folder.glob("labels.duckdb*"):
            path.unlink()


def configure(folder: Path, name: str, shards: int) -> Path:
    """Write the posts of a number of shards, and return their configuration."""
    posts = POSTS.format(name=name, count=10 * shards)
    duckdb.connect().execute(f"COPY ({posts}) TO '{folder}/{name}.parquet'")
    path = folder / f"{name}.yaml"
    path.write_text(CONFIG.format(name=name, folder=folder, account=ACCOUNT))
    return path


def count_files(folder: Path, env: dict[str, str], shards: int) -> None:
    """Print how many files a run has as its tasks end, and after they are gathered and packed."""
    config = configure(folder, "small", shards)
    submit = [sys.executable, "-m", "hpc.submit", "--config", str(config), "--wait"]
    subprocess.run(submit, env=env, check=True, stdout=subprocess.DEVNULL)
    run = find_runs.find(folder / "runs", "small")
    print(f"  {files_of(run.folder)} files of {shards} shards as their tasks end")
    subprocess.run(
        [sys.executable, "-m", "hpc.supervise", "small", "--once"],
        env=env, check=True, cwd=folder, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    print(f"  {files_of(run.folder)} files after they are gathered and packed")


def files_of(folder: Path) -> int:
    """Count the files below a folder."""
    return sum(path.is_file() for path in folder.rglob("*"))


if __name__ == "__main__":
    main()
