"""Run all benchmarks, and write every figure to one file.

    python -m benchmarks [--full] [--only NAME,...] [--results results.json]
                         [--datatrove-python FILE] [--snakemake FILE]

By default each has a small size, which shows that it runs: some ten minutes on two cores. Starts
weigh more then. --full measures the sizes that benchmarks/README.md reports, which takes hours.
What needs something that is missing here is skipped with a line.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.paired import python, run_child
from benchmarks.private_slurm import describe_lack


@dataclass(frozen=True, kw_only=True, slots=True)
class Benchmark:
    """One module, and its arguments."""

    about: str
    """What it measures, a phrase."""
    small: Sequence[str]
    """Its arguments for a quick run."""
    full: Sequence[str] = ()
    """Its arguments for the sizes of the page."""
    module: str = ""
    """Its module, where that is not its name."""
    needs: str = ""
    """A package that it cannot do without."""
    needs_slurm: bool = False
    """Whether it boots a private Slurm."""


BENCHMARKS = {
    "login_node": Benchmark(
        about="planning and gathering, against DuckDB's bare statements",
        small=("--posts", "20000", "--shards", "10", "--rounds", "1"),
        full=("--posts", "10000000", "--shards", "1000"),
    ),
    "login_node_sqlite": Benchmark(
        about="the same from a SQLite table",
        module="login_node",
        small=("--posts", "20000", "--shards", "10", "--rounds", "1", "--sqlite"),
        full=("--posts", "2000000", "--shards", "200", "--sqlite"),
    ),
    "audit": Benchmark(
        about="an audit, against bare anti-joins",
        small=("--shards", "50", "--published", "40", "--posts", "200", "--rounds", "1"),
        full=("--shards", "1000", "--published", "900", "--posts", "10000"),
    ),
    "layouts": Benchmark(
        about="labels as Parquet files, against labels in the database",
        small=("--sizes", "20000", "--shard", "2000"),
    ),
    "many_shards": Benchmark(
        about="looks at a run of many shards, against a bare listing of its folder",
        small=("--shards", "200", "--rounds", "1"),
    ),
    "slurm_submit": Benchmark(
        about="submitting many shards, against a bare sbatch",
        small=("--shards", "50", "--finished", "2", "--rounds", "1"),
        needs_slurm=True,
    ),
    "worker": Benchmark(
        about="a task, against bare scripts and its quota",
        small=("--posts", "2000", "--rounds", "1"),
    ),
    "retries": Benchmark(
        about="labeling through a service that sometimes fails, against a bare script",
        small=("--posts", "1000", "--rounds", "1"),
    ),
    "whole_job": Benchmark(
        about="a whole job on Slurm, against a bare array and peers",
        small=("--divisor", "20", "--rounds", "1"),
        needs_slurm=True,
    ),
    "local_model": Benchmark(
        about="a local model, against a bare forward pass and a pipeline of transformers",
        small=("--posts", "40", "--layers", "1", "--hidden", "64", "--rounds", "1"),
        needs="torch",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("--only", default=",".join(BENCHMARKS), metavar="NAME,...")
    parser.add_argument("--results", type=Path, default=Path("benchmarks.json"))
    parser.add_argument("--datatrove-python", metavar="FILE")
    parser.add_argument("--snakemake", metavar="FILE")
    options = parser.parse_args()
    if options.list:
        for name, benchmark in BENCHMARKS.items():
            print(f"{name:<18} {benchmark.about}")
        return
    peers = [
        word
        for option in ("datatrove_python", "snakemake")
        if (value := getattr(options, option))
        for word in (f"--{option.replace('_', '-')}", value)
    ]
    documents: dict[str, Any] = {}
    failed: list[str] = []
    for name in options.only.split(","):
        benchmark = BENCHMARKS[name]
        if benchmark.needs and not find_spec(benchmark.needs):
            print(f"{name}: skipped, because {benchmark.needs} is not installed")
            continue
        if benchmark.needs_slurm and (lack := describe_lack()):
            print(f"{name}: skipped: {lack}")
            continue
        words = [*(benchmark.full if options.full else benchmark.small)]
        try:
            documents[name] = measure(
                benchmark.module or name, words + (peers if name == "whole_job" else [])
            )
        except SystemExit as error:
            print(f"{name}: failed: {error}")
            failed.append(name)
    options.results.write_text(
        json.dumps(
            {
                "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "is_full": options.full,
                "failed": failed,
                "benchmarks": documents,
            },
            indent=1,
        )
        + "\n"
    )
    print(f"all figures are in {options.results}")
    if failed:
        sys.exit(1)


def measure(module: str, arguments: Sequence[str]) -> Any:
    """Run one benchmark in a process of its own; show what it prints, and return its results.

    Raises:
        SystemExit: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="hpc-bench-") as name:
        results = Path(name) / "results.json"
        command = python("-m", f"benchmarks.{module}", *arguments, "--results", results)
        print(run_child(command).printed, flush=True)
        return json.loads(results.read_text()) if results.exists() else None


if __name__ == "__main__":
    main()
