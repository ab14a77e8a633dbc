"""Small real runs for tests: real shard files, a real manifest, real outputs; nothing is mocked."""

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import __version__
from pipeline.backlog import shards
from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.frozen_classifier import create
from pipeline.config.sections import DUCKDB, Sharding
from pipeline.model import SHARD_SCHEMA, Answer, Column, JsonObject, Shard, WorkOrder
from pipeline.run_files import manifest, output
from pipeline.run_files.answer_row import part_schema
from pipeline.run_files.manifest import Manifest
from pipeline.run_files.output import ShardLabels

RUN_ID = "20240601T120000-valence-0123abcd"
VALENCE: JsonObject = {"type": "valence"}
RESOURCES: JsonObject = {
    "partition": None,
    "account": None,
    "time_min": 60,
    "mem_gb": None,
    "cpus": 1,
    "gres": None,
    "qos": None,
    "constraint": None,
    "exclude": None,
    "python": sys.executable,
    "setup": [],
    "extra": {},
}
LOCAL_CLUSTER: JsonObject = {
    "executor": "local",
    "max_parallel": 2,
    "grace_seconds": 0.0,
    "poll_seconds": 0.01,
    "resources": RESOURCES,
    "caretaker": RESOURCES,
}
FIRST_TIME = datetime(2024, 5, 31, 13, 0, 0)


class SourcePost(NamedTuple):
    """A post as the backlog has it; the timestamp is naive UTC."""

    uri: str
    text: str
    preprocessing_timestamp: datetime


class UnsentPost(NamedTuple):
    """A post that a shard holds with the reason why it is not sent."""

    uri: str
    text: str
    preprocessing_timestamp: datetime
    reason: str


def uri(number: int) -> str:
    """An at-uri of the real lengths; they sort by `number`."""
    return f"at://did:plc:{number:024d}/app.bsky.feed.post/{number:013d}"


def posts(count: int, *, first: int = 0) -> list[SourcePost]:
    """Labelable posts, one a second, oldest first."""
    return [
        SourcePost(uri(number), f"what a fine day {number}", FIRST_TIME + timedelta(seconds=number))
        for number in range(first, first + count)
    ]


def shard_table(rows: Sequence[SourcePost | UnsentPost]) -> pa.Table:
    """The rows as a shard holds them, oldest first."""
    ordered = sorted(rows, key=lambda post: (post.preprocessing_timestamp, post.uri))
    return pa.Table.from_pylist([post._asdict() for post in ordered], schema=SHARD_SCHEMA)


def make_run(
    folder: Path,
    rows: Sequence[SourcePost | UnsentPost],
    *,
    shards: int = 1,
    classifier: JsonObject = VALENCE,
    run_id: str = RUN_ID,
    name: str = "valence",
    min_text_length: int = 5,
    checkpoint_rows: int = 500,
    checkpoint_seconds: float = 60.0,
    retry: JsonObject | None = None,
    cluster: JsonObject | None = None,
    array_size: int = 1001,
    ask_each_text_once: bool = False,
    layout: str = DUCKDB,
) -> tuple[Path, Manifest]:
    """A planned run `folder/runs/<run_id>` whose shards hold `rows`, which may be in any order."""
    run_dir = folder / "runs" / run_id
    run_dir.mkdir(parents=True)
    run = Manifest(
        format=manifest.FORMAT,
        run_id=run_id,
        name=name,
        created_at="2024-06-01T12:00:00+00:00",
        version=__version__,
        database=str(folder / "labels.duckdb"),
        classifier=classifier,
        config_hash=manifest.config_hash(classifier, min_text_length),
        min_text_length=min_text_length,
        checkpoint_rows=checkpoint_rows,
        checkpoint_seconds=checkpoint_seconds,
        retry=retry or {},
        cluster=cluster or LOCAL_CLUSTER,
        array_size=array_size,
        shards=_frozen(run_dir, shard_table(rows), shards),
        ask_each_text_once=ask_each_text_once,
        layout=layout,
    )
    manifest.write(run_dir, run)
    return run_dir, run


def _frozen(run_dir: Path, table: pa.Table, count: int) -> tuple[Shard, ...]:
    plan = shards.shard_sizes(table.num_rows, Sharding(rows_per_shard=None, shards=count))
    return shards.write_shards(run_dir, table.to_reader(), plan)


def order(run_dir: Path, index: int = 0, *, attempt: int = 1) -> WorkOrder:
    """What a task is given for one shard."""
    return WorkOrder(
        run_dir=str(run_dir),
        shard_index=index,
        array_task_index=index,
        attempt=attempt,
        parallel_tasks=1,
    )


def read_shard(run_dir: Path, index: int) -> pa.Table:
    return pq.read_table(manifest.shard_path(run_dir, index), partitioning=None)


def answers_of(
    uris: Sequence[str],
    columns: tuple[Column, ...],
    answer: Callable[[str], Answer],
    *,
    at: datetime = datetime(2024, 6, 1, 12, 30),
) -> pa.Table:
    """A checkpoint's answers for `uris`, in that order."""
    rows = []
    for given in map(answer, uris):
        labels: Mapping[str, object] = given.values or {}
        rows.append(
            {
                "uri": given.uri,
                "was_successfully_labeled": given.values is not None,
                "reason": given.reason,
                "label_timestamp": at,
                **labels,
            }
        )
    return pa.Table.from_pylist(rows, schema=part_schema(columns))


def publish_shard(
    run_dir: Path,
    run: Manifest,
    index: int = 0,
    *,
    answer: Callable[[str], Answer] | None = None,
    attempt: int = 1,
) -> None:
    """A verified output of one shard, without a task: each post labeled with `answer`, which
    may also give a reason. Only for runs of the `valence` classifier."""
    classifier = create(run.classifier, TaskShare())
    table = read_shard(run_dir, index)
    output.publish(
        run_dir,
        run,
        index,
        ShardLabels(
            posts=table,
            answers=answers_of(table["uri"].to_pylist(), classifier.columns, answer or _fine),
            columns=classifier.columns,
            model=classifier.model,
            attempt=attempt,
        ),
    )


def _fine(at_uri: str) -> Answer:
    return Answer(at_uri, {"compound": 0.2023, "valence_label": "positive"})
