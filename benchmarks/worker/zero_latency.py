"""Compare what a request costs a task with what it costs a bare thread pool."""

import statistics
from pathlib import Path

from benchmarks.chat_service import serving
from benchmarks.paired import Figure, Took, in_turns, median_ratio, python, run_child
from benchmarks.worker.tasks import label, llm, make_texts, plan

BARE = Path(__file__).with_name("bare_client.py")
IN_FLIGHT = (64, 512)
FEW = 600  # whose processes show what a start costs
GOALS = {"requests": "1 or more, then 2 or more", "urllib3": ""}


def measure(folder: Path, rounds: int, posts: int) -> list[Figure]:
    """Return the figures of tasks with a number of posts, with few and many requests in flight."""
    figures: list[Figure] = []
    for in_flight in IN_FLIGHT:
        with serving() as url:
            figures += measure_at(url, folder / str(in_flight), in_flight, rounds, posts)
    return figures


def measure_at(url: str, folder: Path, in_flight: int, rounds: int, posts: int) -> list[Figure]:
    """Return the figures with so many requests in flight."""
    folder.mkdir()
    few = min(FEW, posts // 2)
    texts = make_texts(posts)
    keys = llm(url, in_flight)
    runs = {count: plan(folder / str(count), texts[:count], keys) for count in (few, posts)}

    def bare(client: str, count: int) -> Took:
        return run_child(python(BARE, client, url, in_flight, count))

    def per_request(of_few: Took, of_all: Took) -> float:
        return (of_all.cpu_seconds - of_few.cpu_seconds) / (posts - few)

    cpu = in_turns(
        {
            "requests": lambda: per_request(bare("requests", few), bare("requests", posts)),
            "urllib3": lambda: per_request(bare("urllib3", few), bare("urllib3", posts)),
            "task": lambda: per_request(label(runs[few]), label(runs[posts])),
        },
        rounds,
    )
    return [
        Figure(
            name=f"{in_flight} in flight: requests per CPU second",
            reference=f"a pool of {client}",
            ratio=median_ratio(cpu[client], cpu["task"]),
            rounds=rounds,
            goal=goal,
            details={"reference rate": 1 / statistics.median(cpu[client])},
        )
        for client, goal in GOALS.items()
    ]
