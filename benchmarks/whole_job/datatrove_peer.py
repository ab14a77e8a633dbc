"""Run a peer: datatrove's inference runner with its Slurm executor."""

import json
from collections.abc import Callable
from pathlib import Path

from benchmarks.whole_job.job import MINUTES, Job, Labels
from benchmarks.whole_job.scenarios import IN_FLIGHT
from tests.slurm.private_cluster.cluster import ACCOUNT

SCRIPT = Path(__file__).with_name("datatrove_script.py")
CHUNKS = 10  # checkpoints of a task


def contestant(interpreter: Path) -> Callable[[Job], Labels]:
    """Return a function that labels a job's posts with the datatrove of a Python."""

    def do(job: Job) -> Labels:
        settings = job.folder / "settings.json"
        settings.write_text(json.dumps(describe(job)))
        launch = (interpreter, SCRIPT, settings)
        marks = [
            job.folder / "logging" / "completions" / f"{index:05d}"
            for index in range(job.scenario.shards)
        ]
        job.run(launch)
        job.await_files(marks, lambda: job.run(launch))
        return job.load("*.jsonl")

    return do


def describe(job: Job) -> dict[str, str | int]:
    """Return what the script needs to know."""
    return {
        "folder": str(job.folder),
        "pieces": str(job.pieces),
        "answers": str(job.answers),
        "url": job.url,
        "in_flight": IN_FLIGHT,
        "shards": job.scenario.shards,
        "records_per_chunk": max(1, job.scenario.posts // job.scenario.shards // CHUNKS),
        "time": f"00:{MINUTES}:00",
        "account": ACCOUNT,
    }
