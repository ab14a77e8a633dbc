"""Compare a whole job on a private Slurm with a bare array, datatrove and Snakemake.

    python -m benchmarks.whole_job [--scenarios undisturbed,killed,faults,small] [--rounds 3]
                                   [--divisor N] [--datatrove-python FILE] [--snakemake FILE]
                                   [--results FILE.json]

From the first command until every post has its label in DuckDB, each contestant labels the same
posts through the same service on loopback, with 32 requests in flight a task. They take turns. The
reference is an sbatch array of a script with a thread pool, which is submitted again at once for
tasks that were killed. Every row is checked. Peers run where their programs are named. --divisor
makes the jobs smaller. Needs root, and the programs of Slurm (.ci/install-slurm).
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.chat_service import serving
from benchmarks.paired import Figure, in_turns, median_ratio, report
from benchmarks.private_slurm import describe_lack
from benchmarks.whole_job import bare, datatrove_peer, product, snakemake_peer
from benchmarks.whole_job.job import Job, Labels
from benchmarks.whole_job.measure import WholeJob, measure
from benchmarks.whole_job.scenarios import SCENARIOS, Scenario
from tests.slurm.private_cluster.cluster import SlurmCluster

NODES, CPUS, MEMORY_MB = 4, 8, 16_000
BARE, OURS = "bare array", "hpc"
Contestants = Mapping[str, Callable[[Job], Labels]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--divisor", type=int, default=1)
    parser.add_argument("--datatrove-python", type=Path, help="a Python that has datatrove 0.10")
    parser.add_argument("--snakemake", type=Path, help="a Snakemake with its plugin for Slurm")
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    if lack := describe_lack():
        print(f"skipped: {lack}")
        return
    contestants = choose(options.datatrove_python, options.snakemake)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="hpc-bench-") as name:
        folder = Path(name)
        with SlurmCluster(folder / "slurm", nodes=NODES, cpus=CPUS, memory_mb=MEMORY_MB) as cluster:
            for scenario in options.scenarios.split(","):
                scaled = SCENARIOS[scenario].scaled(options.divisor)
                figures += compare(folder, cluster, scaled, contestants, options.rounds)
    report("A whole job on Slurm", figures, options.results)


def choose(datatrove: Path | None, snakemake: Path | None) -> Contestants:
    """Return what runs each contestant; say which peers are left out."""
    contestants: dict[str, Callable[[Job], Labels]] = {BARE: bare.do, OURS: product.do}
    if datatrove:
        contestants["datatrove"] = datatrove_peer.contestant(datatrove)
    else:
        print("without datatrove: name its Python with --datatrove-python")
    if snakemake:
        contestants["snakemake"] = snakemake_peer.contestant(snakemake)
    else:
        print("without Snakemake: name its program with --snakemake")
    return contestants


def compare(
    folder: Path, cluster: SlurmCluster, scenario: Scenario, contestants: Contestants, rounds: int
) -> list[Figure]:
    """Return how each contestant compares with the bare array."""
    with serving(scenario.behavior) as url:

        def turn(name: str) -> Callable[[], WholeJob]:
            def act() -> WholeJob:
                place = Path(tempfile.mkdtemp(prefix=f"{scenario.name}-", dir=folder))
                job = Job(folder=place, scenario=scenario, cluster=cluster, url=url)
                took = measure(job, contestants[name])
                print(f"{scenario.name}, {name}: {took}", flush=True)
                return took

            return act

        took = in_turns({name: turn(name) for name in contestants}, rounds)
    return [
        describe(scenario, name, took[name], took[BARE]) for name in contestants if name != BARE
    ]


def describe(
    scenario: Scenario, name: str, ours: Sequence[WholeJob], bare_jobs: Sequence[WholeJob]
) -> Figure:
    """Compare the jobs of a contestant with those of the bare array, round by round."""
    return Figure(
        name=f"{scenario.name}: {name}, seconds",
        reference=BARE,
        ratio=median_ratio([job.seconds for job in ours], [job.seconds for job in bare_jobs]),
        rounds=len(ours),
        goal=f"{scenario.goal} or less, 1.01 paid per post or less" if name == OURS else "",
        details={
            "CPU ratio": median_ratio(
                [job.cpu_seconds for job in ours], [job.cpu_seconds for job in bare_jobs]
            ),
            "paid per post": statistics.median(job.paid_per_post for job in ours),
            "paid per post, reference": statistics.median(job.paid_per_post for job in bare_jobs),
            "seconds": statistics.median(job.seconds for job in ours),
            "seconds to the return": statistics.median(job.command_seconds for job in ours),
            "reference seconds": statistics.median(job.seconds for job in bare_jobs),
            "posts": scenario.posts,
            "shards": scenario.shards,
        },
    )


if __name__ == "__main__":
    main()
