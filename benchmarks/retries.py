"""Compare labeling through a service that fails now and then with a bare script that retries.

    python benchmarks/retries.py [--posts 10000] [--rounds 3]

A server on loopback answers after 50 ms. 5 % of the requests get HTTP 500, and 2 % get a 429 that
asks to wait for 1 s. The reference is requests and threads: each thread sends one post until it is
answered, again at once after a 500, and after a 429 when the time is over that it names. Both have
32 requests in flight. Print the median of the rounds and the ratios.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.configured_classifier import check_classifier
from pipeline.classifiers.frozen_classifier import create
from pipeline.config.check import Problems
from pipeline.model import Post

IN_FLIGHT = 32
PROMPT = "Is the post civic?"
TIMESTAMP = "2024-05-31-13:00:00"
LATENCY_S = 0.05
FAILURES_OF_100, THROTTLED_OF_100 = 5, 2
ANSWER = json.dumps(
    {
        "object": "chat.completion",
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": '{"civic": true}'},
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5},
    }
).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout
    base_url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
    try:
        posts = [Post(f"at://{number}", f"post {number}") for number in range(options.posts)]
        seconds: dict[str, list[float]] = {"bare script": [], "classifier": [], "whole run": []}
        for _ in range(options.rounds):
            seconds["bare script"].append(run_bare(base_url, posts))
            seconds["classifier"].append(run_classifier(base_url, posts))
            seconds["whole run"].append(run_program(base_url, posts))
    finally:
        server.kill()
        server.wait()
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        ratio = median / medians["bare script"]
        print(
            f"{name:14} {median:7.2f} s  {options.posts / median:6.0f} posts/s  ratio {ratio:.2f}"
        )


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
        command = [sys.executable, "-m", "hpc.submit", "--config", "run.yaml", "--wait", "--json"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        began = time.perf_counter()
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        return time.perf_counter() - began


async def serve() -> None:
    """Print the port, and answer until the process is killed."""
    count = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                writer.close()
                return
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            )
            await reader.readexactly(length)
            count += 1
            # Spread evenly, the same for both.
            place = count * 37 % 100
            await asyncio.sleep(LATENCY_S)
            if place < FAILURES_OF_100:
                writer.write(response(b"500 Internal Server Error", b"{}"))
            elif place < FAILURES_OF_100 + THROTTLED_OF_100:
                writer.write(response(b"429 Too Many Requests", b"{}", b"Retry-After: 1\r\n"))
            else:
                writer.write(response(b"200 OK", ANSWER))
            await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def response(status: bytes, body: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n%b" % (
        status,
        len(body),
        headers,
        body,
    )


if __name__ == "__main__":
    main()
