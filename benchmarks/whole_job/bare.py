"""Run the reference: an array of a bare script, and one statement that loads what it wrote."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.paired import python
from benchmarks.whole_job.job import MEMORY_MB, MINUTES, SCRIPT, Job, Labels
from benchmarks.whole_job.scenarios import IN_FLIGHT
from tests.slurm.private_cluster.cluster import ACCOUNT

BATCH = """\
#!/bin/bash
#SBATCH --account={account} --mem={memory} --time={minutes} --cpus-per-task=1
#SBATCH --output={folder}/%a.log
index=$(printf %05d $SLURM_ARRAY_TASK_ID)
exec {command} {pieces}/$index.jsonl {answers}/$index.parquet
"""


def do(job: Job) -> Labels:
    """Label all posts; return where the labels are.

    Tasks that wrote nothing are submitted again as soon as all have ended, as somebody who watches
    the queue would do it.
    """
    command = python(SCRIPT, job.url, IN_FLIGHT)
    batch = job.folder / "label.sh"
    batch.write_text(
        BATCH.format(
            account=ACCOUNT, memory=MEMORY_MB, minutes=MINUTES, folder=job.folder,
            command=" ".join(command), pieces=job.pieces, answers=job.answers,
        )
    )  # fmt: skip
    targets = [job.answers / f"{index:05d}.parquet" for index in range(job.scenario.shards)]
    submit(job, batch, targets)
    job.await_files(targets, lambda: submit(job, batch, targets))
    return job.load("*.parquet")


def submit(job: Job, batch: Path, targets: Sequence[Path]) -> None:
    """Submit the tasks whose answers are missing."""
    missing = [str(index) for index, target in enumerate(targets) if not target.exists()]
    job.run(("sbatch", f"--array={','.join(missing)}", batch))
