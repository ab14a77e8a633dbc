"""Compare a task that labels with VADER with a bare loop over the same texts."""

import sys
from pathlib import Path

from measure import alternate, ratio, run_child
from tasks import label, make_texts, plan

BARE = """
import sys, time
import pyarrow.parquet as pq
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
texts = pq.read_table(sys.argv[1], partitioning=None)["text"].to_pylist()
analyzer = SentimentIntensityAnalyzer()
began = time.process_time()
scores = [analyzer.polarity_scores(text)["compound"] for text in texts]
print(time.process_time() - began)
"""


def measure(folder: Path, rounds: int, posts: int | None) -> dict[str, float]:
    posts = posts or 100_000
    run = plan(folder / "run", make_texts(posts), {"type": "valence"})
    shard = str(next((run / "shards").iterdir()))

    def bare_process() -> float:
        took = run_child([sys.executable, "-c", BARE, shard])
        loops.append(float(took.printed))
        return took.cpu_s

    loops: list[float] = []
    cpu = alternate({"bare": bare_process, "task": lambda: label(run).cpu_s}, rounds)
    return {
        "bare loop, posts per CPU second": ratio([posts] * rounds, loops),
        "task / bare loop, rate": ratio(loops, cpu["task"]),
        "task / bare process, rate": ratio(cpu["bare"], cpu["task"]),
    }
