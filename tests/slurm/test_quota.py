"""Eight tasks of four runs, of very different sizes, under one key's quota on a real Slurm."""

import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.service.quota.leases import LeaseTerms
from tests.servers.perspective import PerspectiveServer
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm

KEY = "AIza-distinctive-key-4711"
QUOTA = 1500
SIZES = (150, 450, 1150, 2000)  # of two shards each


def test_eight_tasks_use_up_one_quota_and_never_exceed_it(bench: Bench) -> None:
    use_one_quota_up(bench)


def use_one_quota_up(bench: Bench) -> None:
    leases = bench.folder / "quota"
    bench.env["PERSPECTIVE_API_KEY"] = KEY
    with PerspectiveServer(key=KEY, quota=QUOTA, latency_s=0.3) as server:
        began = time.time()
        runs = [submit(bench, server, leases, size) for size in SIZES]
        wait_for(lambda: len(task_ids(leases)) == 8, 120, "eight tasks have had a lease")
        all_send = time.time() + LeaseTerms().join + 2 * LeaseTerms().refresh
        wait_for(lambda: server.paid > 0, 60, "the first has sent a request")
        first = time.time()
        nearly = sum(SIZES) - 50
        wait_for(lambda: server.paid > nearly, 400, "nearly all posts have been sent")
        last = time.time()
        for run in runs:
            assert bench.document("supervise", run["run_dir"])["state"] == "complete"
        stats = server.stats()
    print(f"\nfirst request {first - began:.0f} s after the first submit; {stats['by_status']}")
    whole = range(int(all_send // 60) + 1, int(last // 60))
    used = {minute: server.admitted_by_minute[minute] / QUOTA for minute in whole}
    print(f"of the quota, in whole minutes of work: {[f'{part:.1%}' for part in used.values()]}")
    print(f"all minutes: {dict(sorted(server.admitted_by_minute.items()))}")
    print("task, CPU time, seconds it lived:")
    for job in (job for run in runs for job in run["array_jobs"]):
        listing = bench.cluster.run(
            "sacct", "-n", "-P", "-j", str(job), "-o", "JobID,TotalCPU,ElapsedRaw"
        )
        print("\n".join(line for line in listing.splitlines() if ".0|" in line))
    assert dict(server.by_status) == {200: sum(SIZES)}
    assert server.paid == sum(SIZES)
    assert sum(used.values()) / len(used) >= 0.95
    assert list(leases.glob("*/*.lease")) == []


def task_ids(leases: Path) -> set[str]:
    """Return the tasks that have a lease, or have left: the first ones are done early."""
    return {path.name.split(".")[0] for path in leases.glob("*/*.le*")}


def submit(bench: Bench, server: PerspectiveServer, leases: Path, size: int) -> dict[str, Any]:
    config = bench.config(
        posts.json_lines(bench.folder / f"{size}.jsonl", size),
        sharding={"shards": 2},
        classifier={
            "type": "perspective",
            "base_url": server.url,
            "requests_per_minute": QUOTA,
            "quota_folder": str(leases),
        },
        cluster={"cpus": 1},
    )
    return bench.document("submit", "--config", config, "--set", f"name=quota_{size}")
