"""Plan runs of one shard, and label them as the local executor does."""

import json
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.paired import Took, python, run_child
from benchmarks.valence_run import PLAN

ROOT = str(Path(__file__).resolve().parents[2])
_WORDS = """
the a of and to in is it that this for not on with as was but they have be at we you can just about
all people time day one what who how really very never always good bad great awful love hate happy
sad terrible nice wonderful kill lol ugh NOT best worst :) :( 😀 😡 today news vote city school work
book music game team win lose friend family
"""
_TIMESTAMP = "2024-05-31-13:00:00"
_KEY = {"BENCH_KEY": "a-key-of-the-benchmark"}


def make_texts(count: int) -> list[str]:
    """Return texts of 4 to 40 words, the same ones each time."""
    chance = random.Random(1)
    words = _WORDS.split()
    endings = ["", "!", "?", "."]
    return [
        " ".join(chance.choices(words, k=chance.randint(4, 40))) + chance.choice(endings)
        for _ in range(count)
    ]


def plan(folder: Path, texts: list[str], classifier: Mapping[str, Any]) -> Path:
    """Return the folder of a new run with all texts in one shard."""
    folder.mkdir()
    with (folder / "posts.jsonl").open("w") as lines:
        for number, text in enumerate(texts):
            uri = f"at://did:plc:{number:024d}/app.bsky.feed.post/{number:013d}"
            row = {"uri": uri, "text": text, "preprocessing_timestamp": _TIMESTAMP}
            lines.write(json.dumps(row) + "\n")
    (folder / "prompt.txt").write_text("Is the post civic?")
    config = {
        "name": "bench",
        "backlog": {"source": str(folder / "posts.jsonl")},
        "sharding": {"rows_per_shard": len(texts)},
        "classifier": classifier,
        "cluster": {"executor": "local"},
        "storage": {"run_root": str(folder / "runs"), "database": str(folder / "labels.duckdb")},
    }
    (folder / "run.yaml").write_text(json.dumps(config))
    run_child(python("-c", PLAN, folder / "run.yaml", "new"), {"PYTHONPATH": ROOT, **_KEY})
    return next(path for path in (folder / "runs").iterdir() if (path / "manifest.json").exists())


def label(run: Path) -> Took:
    """Label the run's shard, and forget that it is labeled."""
    shard = ("--shard-index", 0, "--array-task-index", 0, "--attempt", 1, "--parallel-tasks", 1)
    took = run_child(
        python("-m", "pipeline.worker", "--run-dir", run, *shard), {"PYTHONPATH": ROOT, **_KEY}
    )
    outputs = list((run / "outputs").glob("*.parquet"))
    assert len(outputs) == 1, took.printed
    for name in ("outputs", "work", "logs", "notes"):
        shutil.rmtree(run / name, ignore_errors=True)
    return took


def llm(base_url: str, in_flight: int, **keys: Any) -> dict[str, Any]:
    """Return the section `classifier` for a chat server that needs no probing."""
    return {
        "type": "llm",
        "base_url": f"{base_url}/v1",
        "model": "bench",
        "prompt": "prompt.txt",
        "labels": [{"name": "civic", "type": "bool"}],
        "structured_output": "none",
        "max_in_flight": in_flight,
        **keys,
    }


def perspective(base_url: str, **keys: Any) -> dict[str, Any]:
    """Return the section `classifier` for a look-alike of the Perspective API."""
    return {"type": "perspective", "base_url": base_url, "api_key_env": "BENCH_KEY", **keys}
