"""Publish, verify and read a shard's output: the only proof that the shard is done.

An output appears by one rename, carries its receipt in the footer, and holds exactly the shard's
posts.
"""

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import files, usage
from pipeline.errors import Cause, TaskError
from pipeline.model import ENVELOPE, PROVENANCE, RAW_SCHEMA, SHARD_SCHEMA, Column, output_schema
from pipeline.run_files.answer_row import sum_columns
from pipeline.run_files.manifest import Manifest, output_path, raw_path
from pipeline.text import counted

PUBLICATION = "hpc.publication"
USAGE = "hpc.usage"

# A damaged name or receipt raises UnicodeDecodeError, which is a ValueError.
_UNREADABLE = (OSError, ValueError, pa.ArrowException)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What an output's footer says. Without a file, `publication` and `problem` are None."""

    publication: str | None = None
    """Identifies this publication of the shard; None unless the output is verified."""
    problem: str | None = None
    """Why the file is not an output of this shard."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What the answers cost, by cost column."""

    @property
    def verified(self) -> bool:
        """Whether the shard is done."""
        return self.publication is not None


def verify(run_dir: Path, manifest: Manifest, index: int) -> Verdict:
    """Check an output by its footer: that it opens, has this shard's receipt, and all its rows."""
    try:
        with pq.ParquetFile(output_path(run_dir, index)) as file:
            return _judge(file.metadata.num_rows, file.schema_arrow.metadata, manifest, index)
    except FileNotFoundError:
        return Verdict()
    except _UNREADABLE as error:
        return Verdict(problem=f"it cannot be read: {error}")


def read(run_dir: Path, manifest: Manifest, index: int) -> tuple[Verdict, pa.Table | None]:
    """Read and return a whole output; the table is None unless the verdict is `verified`.

    Verifies the checksum of every page. The footer has no checksum, so the columns are checked too.
    """
    path = output_path(run_dir, index)
    try:
        table = pq.read_table(path, page_checksum_verification=True, partitioning=None)
        verdict = _judge(table.num_rows, table.schema.metadata, manifest, index)
        if verdict.verified and not _has_an_outputs_columns(table.schema):
            verdict = Verdict(problem="it does not have an output's columns")
    except FileNotFoundError:
        return Verdict(), None
    except _UNREADABLE as error:
        return Verdict(problem=f"it cannot be read: {error}"), None
    return verdict, table if verdict.verified else None


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardLabels:
    """All that a task found out about its shard, ready to be published."""

    posts: pa.Table
    """The shard's posts, in SHARD_SCHEMA."""
    answers: pa.Table
    """The answers in any order, in `checkpoint.part_schema`."""
    columns: tuple[Column, ...]
    """The classifier's columns."""
    model: str
    attempt: int
    responses: Iterable[pa.Table] | None = None
    """The service's responses in RAW_SCHEMA; None if they are not kept."""


def publish(run_dir: Path, manifest: Manifest, index: int, labels: ShardLabels) -> None:
    """Join a shard's posts with their answers by uri, and let the output appear by one rename.

    Responses are written first, to a file that belongs to this publication alone. If a verified
    output is there, nothing is written and no response is read: another attempt was quicker, and
    its labels may have been gathered already.

    Raises:
        TaskError: the answers are not exactly the shard's.
        OSError: the disk is full, or a part is gone.
    """
    answered = _answers_in_order(index, labels)
    if verify(run_dir, manifest, index).verified:
        return
    publication = uuid.uuid4().hex
    footer = {
        **manifest.receipt(index).metadata(),
        PUBLICATION: publication,
        "hpc.attempt": str(labels.attempt),
        "hpc.published_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if costs := usage.count_columns(labels.columns):
        footer[USAGE] = json.dumps(sum_columns(answered, costs))
    if labels.responses is not None:
        raw = raw_path(run_dir, index, publication)
        failure = _write_responses(raw, footer, labels.responses)
        # Writing takes a while. Another attempt may have published meanwhile, and may then have
        # deleted the parts that the responses are read from.
        if verify(run_dir, manifest, index).verified:
            raw.unlink(missing_ok=True)
            return
        if failure:
            raise failure
    path = output_path(run_dir, index)
    path.parent.mkdir(exist_ok=True)
    table = _output_table(manifest, index, labels, answered)
    files.write_parquet(path, table.replace_schema_metadata(footer))


def _answers_in_order(index: int, labels: ShardLabels) -> pa.Table:
    """Return the answers in the order of the posts."""
    posts = labels.posts["uri"].combine_chunks()
    rows = pc.index_in(posts, value_set=labels.answers["uri"].combine_chunks())
    strangers = labels.answers.num_rows + rows.null_count - len(posts)
    if rows.null_count or strangers:
        raise TaskError(
            Cause.CRASHED,
            f"shard {index} was not published: {counted(rows.null_count, 'post')} without an "
            f"answer, {counted(strangers, 'answer')} without a post",
        )
    return labels.answers.take(rows)


def _output_table(
    manifest: Manifest, index: int, labels: ShardLabels, answered: pa.Table
) -> pa.Table:
    schema = output_schema(labels.columns)
    provenance = {
        "run_id": manifest.run_id,
        "shard_index": index,
        "attempt": labels.attempt,
        "model": labels.model,
        "config_hash": manifest.config_hash,
    }
    arrays = []
    for column in schema:
        if column.name in provenance:
            value = pa.scalar(provenance[column.name], column.type)
            arrays.append(pa.repeat(value, labels.posts.num_rows))
        elif column.name in SHARD_SCHEMA.names:
            arrays.append(labels.posts[column.name])
        else:
            arrays.append(answered[column.name])
    return pa.table(arrays, schema=schema)


def _write_responses(
    path: Path, footer: Mapping[str, str], responses: Iterable[pa.Table]
) -> OSError | None:
    """Write the responses; return the error if a part cannot be read or the file written."""
    path.parent.mkdir(exist_ok=True)
    try:
        files.write_tables(path, RAW_SCHEMA.with_metadata(footer), responses)
    except OSError as error:
        return error
    return None


def _has_an_outputs_columns(schema: pa.Schema) -> bool:
    types = dict(zip(schema.names, schema.types, strict=True))
    return all(types.get(field.name) == field.type for field in (*ENVELOPE, *PROVENANCE))


def _judge(
    rows: int, metadata: dict[bytes, bytes] | None, manifest: Manifest, index: int
) -> Verdict:
    footer = {key.decode(): value.decode() for key, value in (metadata or {}).items()}
    for key, expected in manifest.receipt(index).metadata().items():
        if footer.get(key) != expected:
            actual = f"is {footer[key]}" if key in footer else "is missing"
            return Verdict(problem=f"its receipt is not this shard's: {key} {actual}")
    posts = manifest.shards[index].posts
    if rows != posts:
        return Verdict(
            problem=f"it holds {counted(rows, 'row')}, but the shard {counted(posts, 'post')}"
        )
    return Verdict(publication=footer.get(PUBLICATION, "unnamed"), counts=_usage(footer.get(USAGE)))


def _usage(text: str | None) -> dict[str, int]:
    """Return the costs, or {} if they are damaged: an output counts for its rows alone."""
    try:
        return usage.read_counts(json.loads(text or "{}"))
    except (ValueError, RecursionError):
        return {}
