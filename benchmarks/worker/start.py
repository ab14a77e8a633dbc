"""Measure what passes between a task's start and its first request."""

import sys
from collections.abc import Callable
from pathlib import Path

from measure import alternate, ratio, run_child
from service import serving, take_arrivals
from tasks import label, llm, make_texts, perspective, plan


def measure(folder: Path, rounds: int, posts: int | None) -> dict[str, float]:
    texts = make_texts(posts or 10)
    with serving() as url:
        quota = {"requests_per_minute": 6000, "quota_folder": str(folder / "quota")}
        runs = {
            "llm": plan(folder / "llm", texts, llm(url, 8)),
            "llm with a quota": plan(folder / "quota-llm", texts, llm(url, 8, **quota)),
            "perspective with a quota": plan(folder / "p", texts, perspective(url, **quota)),
        }

        def to_first_request(run: Path) -> Callable[[], float]:
            def act() -> float:
                take_arrivals(url)
                return -label(run).began + take_arrivals(url)[0]

            return act

        valence = plan(folder / "valence", texts, {"type": "valence"})
        wall = alternate(
            {
                "python": lambda: run_child([sys.executable, "-c", "pass"]).wall_s,
                "valence, whole task": lambda: label(valence).wall_s,
                **{name: to_first_request(run) for name, run in runs.items()},
            },
            rounds,
        )
        cpu = alternate(
            {
                "python": lambda: run_child([sys.executable, "-c", "pass"]).cpu_s,
                "valence": lambda: label(valence).cpu_s,
                "llm": lambda: label(runs["llm"]).cpu_s,
            },
            rounds,
        )
    figures = {"python -c pass, seconds": ratio(wall["python"], [1.0] * rounds)}
    for name in ("valence", "llm"):
        figures[f"{name}, whole task / python, CPU"] = ratio(cpu[name], cpu["python"])
    for name in ("valence, whole task", *runs):
        figures[f"{name} / python"] = ratio(wall[name], wall["python"])
        figures[f"{name}, seconds"] = ratio(wall[name], [1.0] * rounds)
    return figures
