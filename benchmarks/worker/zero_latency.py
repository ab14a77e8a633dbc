"""Compare what a request costs a task with what it costs a bare thread pool."""

import sys
from pathlib import Path

from measure import Took, alternate, ratio, run_child
from service import serving
from tasks import label, llm, make_texts, plan

BARE = str(Path(__file__).with_name("bare_client.py"))
FEW = 600  # whose processes show what a start costs


def measure(folder: Path, rounds: int, posts: int | None) -> dict[str, float]:
    figures: dict[str, float] = {}
    for in_flight in (64, 512):
        with serving() as url:
            figures |= measure_at(url, folder / str(in_flight), in_flight, rounds, posts or 20_000)
    return figures


def measure_at(url: str, folder: Path, in_flight: int, rounds: int, posts: int) -> dict[str, float]:
    """Return the figures with so many requests in flight."""
    folder.mkdir()
    texts = make_texts(posts)
    keys = llm(url, in_flight)
    runs = {n: plan(folder / str(n), texts[:n], keys) for n in (FEW, posts)}

    def bare(client: str, count: int) -> Took:
        return run_child([sys.executable, BARE, client, url, str(in_flight), str(count)])

    def per_request(few: Took, many: Took) -> float:
        return (many.cpu_s - few.cpu_s) / (posts - FEW)

    cpu = alternate(
        {
            "requests": lambda: per_request(bare("requests", FEW), bare("requests", posts)),
            "urllib3": lambda: per_request(bare("urllib3", FEW), bare("urllib3", posts)),
            "task": lambda: per_request(label(runs[FEW]), label(runs[posts])),
        },
        rounds,
    )
    figures = {
        f"{client}, {in_flight} in flight, per CPU second": ratio([1.0] * rounds, cpu[client])
        for client in cpu
    }
    for client in ("requests", "urllib3"):
        figures[f"task / {client}, {in_flight} in flight"] = ratio(cpu[client], cpu["task"])
    return figures
