"""Compare labeling through a service that fails now and then with a bare script that retries.

    python -m benchmarks.retries [--posts 10000] [--rounds 3] [--results FILE.json]

A server on loopback answers after 50 ms. 5 % of the requests get HTTP 500, and 2 % get a 429 that
asks to wait for 1 s. The reference is requests and threads: each thread sends one post until it is
answered, again at once after a 500, and after a 429 when the time is over that it names. Both have
32 requests in flight. Print the median of the rounds and the ratios.
"""

import argparse
import json
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from benchmarks.chat_service import Behavior, serving
from benchmarks.paired import Figure, in_turns, median_ratio, python, report, run_child
from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.configured_classifier import check_classifier
from pipeline.classifiers.frozen_classifier import create
from pipeline.config.check import Problems
from pipeline.model import Post

ROOT = str(Path(__file__).resolve().parents[1])
IN_FLIGHT = 32
PROMPT = "Is the post civic?"
TIMESTAMP = "2024-05-31-13:00:00"
BEHAVIOR = Behavior(latency_s=0.05, errors=5, throttled=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    posts = [Post(f"at://{number}", f"post {number}") for number in range(options.posts)]
    with serving(BEHAVIOR) as url:
        base_url = f"{url}/v1"
        seconds = in_turns(
            {
                "bare script": lambda: run_bare(base_url, posts),
                "classifier": lambda: run_classifier(base_url, posts),
                "whole run": lambda: run_program(base_url, posts),
            },
            options.rounds,
        )
    bare = seconds.pop("bare script")
    figures = [
        Figure(
            name=f"{name}: seconds",
            reference="bare script",
            ratio=median_ratio(ours, bare),
            rounds=options.rounds,
            goal="1.2 or less",
            details={
                "seconds": statistics.median(ours),
                "posts per second": options.posts / statistics.median(ours),
                "reference seconds": statistics.median(bare),
            },
        )
        for name, ours in seconds.items()
    ]
    faults = f"{BEHAVIOR.errors} % HTTP 500, {BEHAVIOR.throttled} % HTTP 429"
    report(f"{options.posts:,} posts, {faults}", figures, options.results)


def run_bare(base_url: str, posts: list[Post]) -> float:
    """Return the seconds that the reference takes."""
    session = requests.Session()
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=IN_FLIGHT)
    session.mount("http://", adapter)

    def label(post: Post) -> Any:
        body = {"model": "bench", "messages": [{"role": "user", "content": post.text}]}
        while True:
            reply = session.post(f"{base_url}/chat/completions", json=body, timeout=60)
            if reply.status_code == 200:
                return json.loads(reply.json()["choices"][0]["message"]["content"])
            time.sleep(float(reply.headers.get("Retry-After", 0)))

    began = time.perf_counter()
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        labels = list(pool.map(label, posts))
    assert all(answer == {"civic": True} for answer in labels)
    return time.perf_counter() - began


def classifier_keys(base_url: str) -> dict[str, Any]:
    return {
        "type": "llm",
        "base_url": base_url,
        "model": "bench",
        "prompt": "prompt.txt",
        "labels": [{"name": "civic", "type": "bool"}],
        "structured_output": "none",
        "max_in_flight": IN_FLIGHT,
    }


def run_classifier(base_url: str, posts: list[Post]) -> float:
    """Return the seconds that a task's classifier takes."""
    with tempfile.TemporaryDirectory(prefix="hpc-bench-") as name:
        folder = Path(name)
        (folder / "prompt.txt").write_text(PROMPT)
        problems = Problems()
        checked = check_classifier(
            classifier_keys(base_url), source="bench", folders=(folder,), problems=problems
        )
        problems.raise_any()
        assert checked
        frozen = checked.freeze(problems).to_json()
        problems.raise_any()
        classifier = create(frozen, TaskShare())
        began = time.perf_counter()
        answers = list(classifier.classify(posts))
        seconds = time.perf_counter() - began
        classifier.close()
    assert len(answers) == len(posts)
    assert all(answer.values for answer in answers)
    return seconds


def run_program(base_url: str, posts: list[Post]) -> float:
    """Return the seconds that `hpc submit` takes on this machine: planning, a task, gathering."""
    with tempfile.TemporaryDirectory(prefix="hpc-bench-") as name:
        folder = Path(name)
        (folder / "prompt.txt").write_text(PROMPT)
        with (folder / "posts.jsonl").open("w") as lines:
            for post in posts:
                row = {"uri": post.uri, "text": post.text, "preprocessing_timestamp": TIMESTAMP}
                lines.write(json.dumps(row) + "\n")
        config = {
            "name": "bench",
            "backlog": {"source": "posts.jsonl"},
            "sharding": {"rows_per_shard": len(posts)},
            "classifier": classifier_keys(base_url),
            "cluster": {"executor": "local"},
        }
        (folder / "run.yaml").write_text(json.dumps(config))
        command = python("-m", "hpc.submit", "--config", "run.yaml", "--wait", "--json")
        return run_child(command, {"PYTHONPATH": ROOT}, folder=folder).seconds


if __name__ == "__main__":
    main()
