"""Compare what a request costs a task with what it costs a bare thread pool."""

import sys
from pathlib import Path

from measure import Took, alternate, ratio, run_child
from service import serving
from tasks import label, llm, make_texts, plan

BARE = str(Path(__file__).with_name("bare_client.py"))
FEW = 600  # whose processes show what a start costs


def measure(folder: Path, rounds: int, posts: int | None) -> dict[str, float]:
    posts = posts or 20_000
    figures = {}
    for in_flight in (64, 512):
        with serving() as url:
            texts = make_texts(posts)
            runs = {
                count: plan(folder / f"{in_flight}-{count}", texts[:count], llm(url, in_flight))
                for count in (FEW, posts)
            }

            def bare(client: str, count: int, url: str = url, in_flight: int = in_flight) -> Took:
                words = [sys.executable, BARE, client, url, str(in_flight), str(count)]
                return run_child(words)

            def per_request(few: Took, many: Took) -> float:
                walls.append(many.wall_s - few.wall_s)
                return (many.cpu_s - few.cpu_s) / (posts - FEW)

            walls: list[float] = []
            cpu = alternate(
                {
                    "requests": lambda: per_request(bare("requests", FEW), bare("requests", posts)),
                    "urllib3": lambda: per_request(bare("urllib3", FEW), bare("urllib3", posts)),
                    "task": lambda: per_request(label(runs[FEW]), label(runs[posts])),
                },
                rounds,
            )
        for client in ("requests", "urllib3", "task"):
            figures[f"{client}, {in_flight} in flight, per CPU second"] = ratio(
                [1.0] * rounds, cpu[client]
            )
        for client in ("requests", "urllib3"):
            figures[f"task / {client}, {in_flight} in flight"] = ratio(cpu[client], cpu["task"])
    return figures
