"""A canary on Slurm: what it measures there, and what keeps the other posts from following."""

import pytest

from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm


def test_a_canary_measures_and_the_others_follow_in_shards_sized_by_time(bench: Bench) -> None:
    source = posts.json_lines(bench.folder / "p.jsonl", 60)
    config = bench.config(source, sharding={"shards": None, "target_minutes": 0.5})
    shown = bench.document("submit", "--config", config, "--canary", 10, "--yes", "--wait")
    canary = shown["canary"]
    assert (canary["verdict"], canary["labeled"]) == ("well", 10)
    assert canary["posts_per_minute"] > 0
    assert 0 < canary["startup_seconds"] < 60
    assert 0 < canary["memory_mb"] < 400
    assert canary["rest"]["submitted"]
    assert (shown["posts"], shown["labeled"]) == (50, 50)
    assert shown["shard_size"]["basis"] == "measured"
    assert sorted(bench.asked()) == sorted(set(bench.asked()))
    assert len(bench.asked()) == 60


@pytest.mark.parametrize(
    "broken",
    [{"python": "/usr/bin/false"}, {"setup": ["source /nowhere/bin/activate"]}],
    ids=["python", "setup"],
)
def test_after_a_canary_whose_environment_is_broken_nothing_else_is_submitted(
    bench: Bench, broken: dict[str, object]
) -> None:
    source = posts.json_lines(bench.folder / "p.jsonl", 30)
    config = bench.config(source, cluster=broken)
    shown = bench.document("submit", "--config", config, "--canary", 5, "--yes", code=1)
    assert shown["canary"]["verdict"] == "incomplete"
    assert shown["canary"]["rest"] is None
    assert len(list((bench.folder / "runs").glob("[0-9]*"))) == 1
    assert bench.asked() == []
    # Once that is fixed, the same command replaces the canary.
    config = bench.config(source)
    shown = bench.document("submit", "--config", config, "--canary", 5)
    assert shown["canary"]["verdict"] == "well"
    assert len(bench.asked()) == 5


def test_a_canary_waits_for_an_upstream_job_and_the_others_need_not(bench: Bench) -> None:
    source = posts.json_lines(bench.folder / "p.jsonl", 12)
    config = bench.config(source, sharding={"shards": 2})
    job = bench.cluster.run("sbatch", "--parsable", "--mem=50", "-o", "/dev/null", "--wrap=sleep 3")
    arguments = ("--after", job.strip(), "--canary", 4, "--yes", "--wait")
    assert bench.document("submit", "--config", config, *arguments)["labeled"] == 8
    assert len(bench.asked()) == 12
