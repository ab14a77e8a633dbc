"""Run this product: one command, which returns when the labels are in DuckDB."""

import json
from collections.abc import Mapping
from typing import Any

import duckdb

from benchmarks.paired import python
from benchmarks.whole_job.job import MEMORY_MB, MINUTES, Job, Labels
from benchmarks.whole_job.scenarios import IN_FLIGHT
from tests.slurm.private_cluster.cluster import ACCOUNT

GATHERED = "SELECT epoch(max(gathered_at)) FROM shards"


def do(job: Job) -> Labels:
    """Label all posts; return where the labels are.

    The command returns some seconds after the labels are there, once Slurm's accounting has the
    ends of the tasks.
    """
    config = job.folder / "run.yaml"
    config.write_text(json.dumps(configuration(job)))
    job.run(python("-m", "hpc.submit", "--config", config, "--wait", "--json"))
    with duckdb.connect(str(job.database), read_only=True) as database:
        rows = database.execute(GATHERED).fetchall()
    return Labels("labels_bench", rows[0][0])


def configuration(job: Job) -> Mapping[str, Any]:
    """Return the configuration: resources as for the bare script, and as many tasks at once."""
    return {
        "name": "bench",
        "backlog": {"source": job.source.name},
        "sharding": {"shards": job.scenario.shards},
        "classifier": {
            "type": "llm",
            "base_url": f"{job.url}/v1",
            "model": "bench",
            "prompt": "prompt.txt",
            "labels": [{"name": "civic", "type": "bool"}],
            "structured_output": "none",
            "max_in_flight": IN_FLIGHT,
        },
        "cluster": {
            "executor": "slurm",
            "account": ACCOUNT,
            "time_min": MINUTES,
            "mem_gb": MEMORY_MB / 1024,
            "max_parallel": job.scenario.shards,
            # This Slurm's accounting lags by some three seconds. The default suits a cluster.
            "grace_seconds": 5,
        },
        "storage": {"database": job.database.name},
    }
