"""Another engine: reads a run's task list and writes answers, with nothing of this program."""

import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.hpc.cli_bench import Bench

Row = dict[str, Any]

EXTERNAL = {
    "type": "external",
    "model": "test-model 1",
    "labels": [
        {"name": "toxic", "type": "bool"},
        {"name": "score", "type": "number", "minimum": 0, "maximum": 1},
        {"name": "side", "type": "choice", "choices": ["left", "right"]},
        {"name": "stance", "type": "integer", "minimum": 1, "maximum": 7, "may_be_null": True},
        {"name": "note", "type": "text"},
    ],
}
LABELS = ("toxic", "score", "side", "stance", "note")


def hand_over(bench: Bench, *arguments: object) -> Path:
    """Plan a run of the bench's configuration, and return its folder."""
    document = bench.document("submit", "--config", bench.path, "--plan-only", *arguments)
    return Path(document["run_dir"])


def tasks(run: Path) -> list[dict[str, Any]]:
    lines = (run / "tasks.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def answer(uri: str, text: str) -> Row:
    """Label a post in a way that follows from its uri alone."""
    number = sum(uri.encode())
    return {
        "uri": uri,
        "toxic": number % 2 == 0,
        "score": number % 5 / 5,
        "side": "left" if number % 3 else "right",
        "stance": number % 7 + 1 if number % 4 else None,
        "note": f"note on {uri}",
    }


def label(run: Path, give: Callable[[str, str], Row] = answer) -> list[Row]:
    """Answer every post of a run that is to be labeled."""
    rows: list[Row] = []
    for task in tasks(run):
        posts = pq.read_table(run / task["input"]).to_pylist()
        rows += [give(post["uri"], post["text"]) for post in posts if post["reason"] is None]
    return rows


def write_parquet(path: Path, rows: list[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def write_lines(path: Path, rows: list[Row] | list[str]) -> Path:
    """Write JSON Lines, compressed if the name says so; a row may be a line as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    content = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def rows_of(bench: Bench, name: str = "test") -> dict[str, Mapping[str, Any]]:
    """The gathered rows of a name, by uri: the labels and the reason."""
    columns = ("uri", *LABELS, "reason")
    found = bench.query(f"SELECT {', '.join(columns)} FROM labels_{name}")
    return {row[0]: dict(zip(columns, row, strict=True)) for row in found}
