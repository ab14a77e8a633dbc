"""Measure how much of a quota one task uses, and what that costs it."""

from pathlib import Path

from service import serving, take_arrivals
from tasks import label, make_texts, perspective, plan

QUOTA, LATENCY_S = 6000, 0.3


def measure(folder: Path, rounds: int, posts: int | None) -> dict[str, float]:
    posts = posts or QUOTA
    with serving(LATENCY_S) as url:
        keys = {"requests_per_minute": QUOTA, "quota_folder": str(folder / "quota")}
        run = plan(folder / "run", make_texts(posts), perspective(url, **keys))
        take_arrivals(url)
        took = label(run)
        arrivals = take_arrivals(url)
    asking_s = arrivals[-1] - arrivals[0]
    return {
        "task / quota, rate": (len(arrivals) - 1) / asking_s * 60 / QUOTA,
        "requests / post": len(arrivals) / posts,
        "CPU of the whole task / second of asking": took.cpu_s / asking_s,
    }
