"""Measure what passes between a task's start and its first request."""

import statistics
from collections.abc import Callable
from pathlib import Path

from benchmarks.chat_service import serving, take_stats
from benchmarks.paired import Figure, in_turns, median_ratio, python, run_child
from benchmarks.worker.tasks import label, llm, make_texts, perspective, plan

GOAL = "as near as imports allow"


def measure(folder: Path, rounds: int, posts: int) -> list[Figure]:
    """Return the figures of tasks with few posts."""
    texts = make_texts(posts)
    with serving() as url:
        quota = {"requests_per_minute": 6000, "quota_folder": str(folder / "quota")}
        runs = {
            "llm": plan(folder / "llm", texts, llm(url, 8)),
            "llm with a quota": plan(folder / "quota-llm", texts, llm(url, 8, **quota)),
            "perspective with a quota": plan(folder / "p", texts, perspective(url, **quota)),
        }
        valence = plan(folder / "valence", texts, {"type": "valence"})

        def to_first_request(run: Path) -> Callable[[], float]:
            def act() -> float:
                take_stats(url)
                return -label(run).began + take_stats(url).arrivals[0]

            return act

        seconds = in_turns(
            {
                "python": lambda: run_child(python("-c", "pass")).seconds,
                **{f"{name}: to the first request": to_first_request(runs[name]) for name in runs},
                "valence: a whole task": lambda: label(valence).seconds,
            },
            rounds,
        )
    reference = seconds.pop("python")
    return [
        Figure(
            name=name,
            reference="python -c pass",
            ratio=median_ratio(ours, reference),
            rounds=rounds,
            goal=GOAL,
            details={"seconds": statistics.median(ours)},
        )
        for name, ours in seconds.items()
    ]
