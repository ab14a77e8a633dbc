"""Run a peer: Snakemake with its executor plugin for Slurm, around the bare script."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.paired import python
from benchmarks.whole_job.job import LOAD, MEMORY_MB, MINUTES, SCRIPT, TABLE, Job, Labels
from benchmarks.whole_job.scenarios import IN_FLIGHT
from tests.slurm.private_cluster.cluster import ACCOUNT

SNAKEFILE = """\
SHARDS = [f"{{index:05d}}" for index in range({shards})]

localrules: load

rule load:
    input: expand("answers/{{shard}}.parquet", shard=SHARDS)
    output: "labels.duckdb"
    shell: '''{load}'''

rule label:
    input: "posts/{{shard}}.jsonl"
    output: "answers/{{shard}}.parquet"
    resources:
        mem_mb={memory}, runtime={minutes}, cpus_per_task=1,
        slurm_account="{account}", slurm_partition="normal"
    shell: "{command} {{input}} {{output}}"
"""
TIMES = 2  # to restart a job that failed
# The plugin removes Slurm's variables before it calls srun. Elsewhere slurm.conf has a fixed place.
SRUN = """\
#!/bin/sh
SLURM_CONF={conf} exec {srun} "$@"
"""


def contestant(program: Path) -> Callable[[Job], Labels]:
    """Return a function that labels a job's posts with a Snakemake."""

    def do(job: Job) -> Labels:
        statement = f"CREATE TABLE {TABLE} AS SELECT uri, civic FROM 'answers/*.parquet'"
        load = [*python("-c"), f'"{LOAD}"', "{{output}}", f'"{statement}"']
        (job.folder / "Snakefile").write_text(
            SNAKEFILE.format(
                shards=job.scenario.shards, memory=MEMORY_MB, minutes=MINUTES, account=ACCOUNT,
                load=" ".join(load).replace("{{output}}", "{output}"),
                command=" ".join(python(SCRIPT, job.url, IN_FLIGHT)),
            )
        )  # fmt: skip
        command = (program, "--executor", "slurm", "--jobs", job.scenario.shards)
        path = f"{write_srun(job)}{os.pathsep}{job.environment['PATH']}"
        job.run((*command, "--retries", TIMES), {"PATH": path})
        return Labels(TABLE, time.time())

    return do


def write_srun(job: Job) -> Path:
    """Write an srun that knows the private cluster, and return its folder."""
    programs = job.folder / "programs"
    programs.mkdir()
    srun = job.cluster.run("sh", "-c", "command -v srun").strip()
    shim = programs / "srun"
    shim.write_text(SRUN.format(conf=job.cluster.env["SLURM_CONF"], srun=srun))
    shim.chmod(0o755)
    return programs
