"""Compare a task that labels with VADER with a bare loop over the same texts."""

import statistics
from pathlib import Path

from benchmarks.paired import Figure, in_turns, median_ratio, python, run_child
from benchmarks.worker.tasks import label, make_texts, plan

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


def measure(folder: Path, rounds: int, posts: int) -> list[Figure]:
    """Return the figures of a task with a number of posts."""
    run = plan(folder / "run", make_texts(posts), {"type": "valence"})
    shard = next((run / "shards").iterdir())
    took = in_turns(
        {"bare": lambda: run_child(python("-c", BARE, shard)), "task": lambda: label(run)}, rounds
    )
    task = [each.cpu_seconds for each in took["task"]]
    references = {
        "a bare loop": [float(each.printed) for each in took["bare"]],
        "a bare process": [each.cpu_seconds for each in took["bare"]],
    }
    return [
        Figure(
            name="valence: posts per CPU second",
            reference=reference,
            ratio=median_ratio(bare, task),
            rounds=rounds,
            goal="0.9 or more",
            details={"posts": posts, "reference rate": posts / statistics.median(bare)},
        )
        for reference, bare in references.items()
    ]
