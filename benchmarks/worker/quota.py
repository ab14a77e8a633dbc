"""Measure how much of a quota one task uses, and what that costs it."""

from pathlib import Path

from benchmarks.chat_service import Behavior, serving, take_stats
from benchmarks.paired import Figure
from benchmarks.worker.tasks import label, make_texts, perspective, plan

QUOTA, LATENCY_S = 6000, 0.3


def measure(folder: Path, rounds: int, posts: int) -> list[Figure]:
    """Return the figures of one task with a number of posts; its time is the quota's, so once."""
    del rounds
    with serving(Behavior(latency_s=LATENCY_S)) as url:
        keys = {"requests_per_minute": QUOTA, "quota_folder": str(folder / "quota")}
        run = plan(folder / "run", make_texts(posts), perspective(url, **keys))
        take_stats(url)
        took = label(run)
        arrivals = take_stats(url).arrivals
    asking_s = arrivals[-1] - arrivals[0]
    return [
        Figure(
            name="quota: requests a minute",
            reference="the quota",
            ratio=(len(arrivals) - 1) / asking_s * 60 / QUOTA,
            rounds=1,
            goal="0.98 or more, with 15 % of a core",
            details={
                "requests per post": len(arrivals) / posts,
                "cores": took.cpu_seconds / asking_s,
            },
        )
    ]
