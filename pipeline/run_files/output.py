"""A shard's published output: the only proof that the shard is done.

It appears by one rename, carries its receipt in the footer, and holds exactly the shard's posts.
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

from pipeline import cost_columns, files
from pipeline.errors import Cause, TaskError
from pipeline.model import ENVELOPE, PROVENANCE, RAW_SCHEMA, SHARD_SCHEMA, Column, output_schema
from pipeline.run_files.manifest import Manifest, output_path, raw_path
from pipeline.text import counted

PUBLICATION = "hpc.publication"
USAGE = "hpc.usage"

# A damaged name or receipt is a UnicodeDecodeError, a ValueError.
_UNREADABLE = (OSError, ValueError, pa.ArrowException)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What one look at an output's footer says.

    `publication` tells one publication of a shard from the next; `problem` says why the file is
    no output of this shard. Both None: there is no file. `counts` sums up what its answers cost.
    """

    publication: str | None = None
    problem: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def verified(self) -> bool:
        return self.publication is not None


def verify(run_dir: Path, manifest: Manifest, index: int) -> Verdict:
    """Reads the footer only: does it open, is its receipt this shard's, are all rows there?"""
    try:
        with pq.ParquetFile(output_path(run_dir, index)) as file:
            return _judge(file.metadata.num_rows, file.schema_arrow.metadata, manifest, index)
    except FileNotFoundError:
        return Verdict()
    except _UNREADABLE as error:
        return Verdict(problem=f"it cannot be read: {error}")


def read(run_dir: Path, manifest: Manifest, index: int) -> tuple[Verdict, pa.Table | None]:
    """The whole output, every page's checksum verified; the footer has none, so its columns too."""
    path = output_path(run_dir, index)
    try:
        table = pq.read_table(path, page_checksum_verification=True, partitioning=None)
        verdict = _judge(table.num_rows, table.schema.metadata, manifest, index)
        if verdict.verified and not _has_an_outputs_columns(table.schema):
            verdict = Verdict(problem="its columns are not an output's")
    except FileNotFoundError:
        return Verdict(), None
    except _UNREADABLE as error:
        return Verdict(problem=f"it cannot be read: {error}"), None
    return verdict, table if verdict.verified else None


def publish(
    run_dir: Path,
    manifest: Manifest,
    index: int,
    *,
    posts: pa.Table,
    answers: pa.Table,
    columns: tuple[Column, ...],
    model: str,
    attempt: int,
    responses: Iterable[pa.Table] | None = None,
) -> None:
    """Joins the shard's `posts` with their `answers` by uri and lets the output appear.

    Their `responses` (RAW_SCHEMA) are written first, to a file of this publication alone, and not
    asked for where a verified output is there: then nothing is done, another attempt was quicker,
    and its labels may have been gathered. Raises TaskError where the answers are not exactly the
    shard's.
    """
    at = pc.index_in(posts["uri"].combine_chunks(), value_set=answers["uri"].combine_chunks())
    strangers = answers.num_rows + at.null_count - posts.num_rows
    if at.null_count or strangers:
        raise TaskError(
            Cause.CRASHED,
            f"{counted(at.null_count, 'post')} of shard {index} without an answer, and "
            f"{counted(strangers, 'answer')} without a post: not published",
        )
    if verify(run_dir, manifest, index).verified:
        return
    answered = answers.take(at)
    schema = output_schema(columns)
    constants = {
        "run_id": manifest.run_id,
        "shard_index": index,
        "attempt": attempt,
        "model": model,
        "config_hash": manifest.config_hash,
    }
    arrays = []
    for one in schema:
        if one.name in constants:
            arrays.append(pa.repeat(pa.scalar(constants[one.name], one.type), posts.num_rows))
        elif one.name in SHARD_SCHEMA.names:
            arrays.append(posts[one.name])
        else:
            arrays.append(answered[one.name])
    publication = uuid.uuid4().hex
    footer = {
        **manifest.receipt(index).metadata(),
        PUBLICATION: publication,
        "hpc.attempt": str(attempt),
        "hpc.published_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if costs := cost_columns.counted(columns):
        footer[USAGE] = json.dumps(cost_columns.summed(answered, costs))
    if responses is not None:
        raw = raw_path(run_dir, index, publication)
        raw.parent.mkdir(exist_ok=True)
        try:
            files.write_tables(raw, RAW_SCHEMA.with_metadata(footer), responses)
        except OSError:
            if not verify(run_dir, manifest, index).verified:
                raise
        # It takes a while: another attempt may have been quicker, and cleared the parts away.
        if verify(run_dir, manifest, index).verified:
            raw.unlink(missing_ok=True)
            return
    path = output_path(run_dir, index)
    path.parent.mkdir(exist_ok=True)
    files.write_parquet(path, pa.table(arrays, schema=schema).replace_schema_metadata(footer))


def _has_an_outputs_columns(schema: pa.Schema) -> bool:
    types = dict(zip(schema.names, schema.types, strict=True))
    return all(types.get(field.name) == field.type for field in (*ENVELOPE, *PROVENANCE))


def _judge(
    rows: int, metadata: dict[bytes, bytes] | None, manifest: Manifest, index: int
) -> Verdict:
    found = {key.decode(): value.decode() for key, value in (metadata or {}).items()}
    for key, expected in manifest.receipt(index).metadata().items():
        if found.get(key) != expected:
            has = f"is {found[key]}" if key in found else "is missing"
            return Verdict(problem=f"its receipt is not this shard's: {key} {has}")
    posts = manifest.shards[index].posts
    if rows != posts:
        return Verdict(
            problem=f"it holds {counted(rows, 'row')}, the shard {counted(posts, 'post')}"
        )
    return Verdict(publication=found.get(PUBLICATION, "unnamed"), counts=_usage(found.get(USAGE)))


def _usage(text: str | None) -> dict[str, int]:
    """Never a reason to take an output for none: its rows are the truth."""
    try:
        return cost_columns.read(json.loads(text or "{}"))
    except (ValueError, RecursionError):
        return {}
