"""Publish, verify and read a shard's output: the only proof that the shard is done.

An output appears by one rename, carries its receipt in the footer, and holds exactly the shard's
posts. One that cannot be read at the moment is neither missing nor damaged: it stays where it is,
and its shard is not labeled again. Damage is proven by content that was read twice, and a damaged
output is renamed, never deleted.
"""

import contextlib
import errno
import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pyarrow as pa

from pipeline import files, usage
from pipeline.errors import Cause, DamagedError, TaskError, UnreadableError
from pipeline.late_imports import arrow_compute as pc
from pipeline.model import COPIED_FROM, POST_COLUMNS, Column, output_schema
from pipeline.run_files import output_rows, read_parquet, reason_counts, responses
from pipeline.run_files.answer_row import sum_columns
from pipeline.run_files.manifest import Manifest, output_path, raw_path
from pipeline.run_files.output_rows import ATTEMPT, ROWS_DIGEST
from pipeline.run_files.pace import PACE, Pace, read_pace, write_pace
from pipeline.run_files.reason_counts import REASONS
from pipeline.run_files.responses import PUBLICATION
from pipeline.run_files.rows_digest import digest_rows
from pipeline.text import counted

USAGE = "hpc.usage"
COPIED = "hpc.copied"


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputCheck:
    """What a look at an output shows. Without a file: no publication, no problem, no trouble."""

    publication: str | None = None
    """Identifies this publication of the shard; None unless the output is verified."""
    problem: str | None = None
    """What in the file's content proves that it is not an output of this shard."""
    unreadable: str | None = None
    """Why the file cannot be read now. It may be the shard's output, whole and paid for."""
    needs_person: bool = False
    """Whether only a person can make the file readable, such as by giving permission."""
    unchecked: str | None = None
    """Which of the checks by `read` was impossible, and why."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What the answers cost, by cost column."""
    unlabelable: Mapping[str, int] | None = None
    """The posts that have a reason instead of labels, by reason; None if that is not known."""
    attempt: int = 0
    """The number of the attempt that published it; 0 where the file does not say."""
    copied: int = 0
    """How many posts have the answer of another post with the same text."""
    peak_mb: float | None = None
    """The most resident memory that the task's processes saw, in MiB; None if unknown."""
    sha256: str = field(default="", compare=False)
    """The SHA-256 of the file's bytes, if `read` has read them all."""

    @property
    def verified(self) -> bool:
        """Whether the shard is done."""
        return self.publication is not None


def verify(
    run_dir: Path, manifest: Manifest, index: int, *, pauses: Sequence[float] = files.READ_PAUSES
) -> OutputCheck:
    """Check an output by its footer: that it opens, has this shard's receipt, and all its rows.

    Args:
        run_dir: the run's folder.
        manifest: the run's manifest.
        index: the shard's index.
        pauses: seconds to wait before each new try to read the file.
    """
    return _examine(lambda: _verify(run_dir, manifest, index, pauses))


def is_published(run_dir: Path, manifest: Manifest, index: int) -> bool:
    """Tell whether a shard has its output.

    Raises:
        UnreadableError: there is a file, and it cannot be read now. Nobody may label the shard
            again, because it may be done.
    """
    try:
        return _verify(run_dir, manifest, index, files.READ_PAUSES).verified
    except DamagedError:
        return False


def _verify(run_dir: Path, manifest: Manifest, index: int, pauses: Sequence[float]) -> OutputCheck:
    path = output_path(run_dir, index)

    def decode(content: bytearray) -> OutputCheck:
        footer = read_parquet.decode_footer(content)
        texts = _texts(footer.schema)
        check = _judge(path, footer.rows, texts, manifest, index)
        return replace(check, unlabelable=reason_counts.read_counts(texts, footer.metadata))

    return _decode_file(path, decode, lambda: read_parquet.read_end(path, pauses=pauses))


def read(
    run_dir: Path, manifest: Manifest, index: int, *, pauses: Sequence[float] = files.READ_PAUSES
) -> tuple[OutputCheck, pa.Table | None]:
    """Read and return a whole output; the table is None unless it is `verified`.

    Verifies the checksum of every page, and that the rows are exactly those of the shard. The
    arguments are those of `verify`.
    """
    path = output_path(run_dir, index)
    tables: list[pa.Table] = []

    def decode(content: bytearray) -> OutputCheck:
        table = read_parquet.decode_table(content)
        footer = _texts(table.schema)
        check = _judge(path, table.num_rows, footer, manifest, index)
        rows_check = output_rows.check_rows(run_dir, manifest, index, table, footer, pauses=pauses)
        if rows_check.problem:
            raise DamagedError(path, rows_check.problem)
        tables.append(table)
        digest = hashlib.sha256(content).hexdigest()
        unlabelable = reason_counts.most_frequent(reason_counts.count_reasons(table))
        return replace(
            check, unlabelable=unlabelable, unchecked=rows_check.unchecked, sha256=digest
        )

    check = _examine(
        lambda: _decode_file(path, decode, lambda: files.read_whole(path, pauses=pauses))
    )
    return check, tables[-1] if check.verified else None


def _examine(examine: Callable[[], OutputCheck]) -> OutputCheck:
    """Return what an examination shows, whatever it raises."""
    try:
        return examine()
    except UnreadableError as error:
        return OutputCheck(unreadable=error.why, needs_person=files.needs_person(error))
    except DamagedError as error:
        return OutputCheck(problem=error.problem)


def _decode_file(
    path: Path, decode: Callable[[bytearray], OutputCheck], read_content: Callable[[], bytearray]
) -> OutputCheck:
    """Return what a file's content shows; an empty `OutputCheck` if there is no file."""
    try:
        return read_parquet.decode_twice(path, decode, read_content)
    except FileNotFoundError:
        if path.is_symlink() or path.parent.is_symlink():
            # What the link leads to may only be out of reach, such as a disk that is not mounted.
            reason = OSError(errno.ELOOP, "it is a link to what is not there")
            raise UnreadableError(path, reason) from None
        return OutputCheck()


def set_aside(path: Path) -> Path:
    """Rename a file that is proven to be no output; return its new path. Nothing is overwritten.

    A person who has repaired it can give it its name back, and it counts again.
    """
    aside = path.with_name(f"{path.name}.damaged-{uuid.uuid4().hex[:8]}")
    path.rename(aside)
    return aside


class ShardLabels(msgspec.Struct, frozen=True, kw_only=True):
    """All that a task found out about its shard, ready to be published."""

    posts: pa.Table
    """The shard's posts, in POST_COLUMNS; further columns are not published."""
    answers: pa.Table
    """The answers in any order, in `checkpoint.part_schema`."""
    columns: tuple[Column, ...]
    """The classifier's columns."""
    model: str
    attempt: int
    copied_from: Mapping[str, str] = {}
    """By uri, the post of the shard whose answer a post gets; the others have their own."""
    responses: Iterable[pa.Table] | None = None
    """The service's responses in RAW_SCHEMA; None if they are not kept."""
    pace: Pace | None = None
    """How fast the task was; None if it asked the classifier about nothing."""


def publish(run_dir: Path, manifest: Manifest, index: int, labels: ShardLabels) -> None:
    """Join a shard's posts with their answers by uri, and let the output appear by one rename.

    A post that gets the answer of another one has its labels, reason and time, and no cost.

    Responses are written first, to a file that belongs to this publication alone. If a verified
    output is there, nothing is written and no response is read: another attempt was quicker, and
    its labels may have been gathered already. A damaged output is renamed, and never overwritten.

    Raises:
        TaskError: the answers are not exactly the shard's.
        UnreadableError: there is a file, and nobody knows now whether it is the shard's output.
        OSError: the disk is full, or a part is gone.
    """
    answered = _answers_in_order(index, labels)
    if is_published(run_dir, manifest, index):
        return
    publication = uuid.uuid4().hex
    footer = {
        **manifest.receipt(index).metadata(),
        PUBLICATION: publication,
        ATTEMPT: str(labels.attempt),
        "hpc.published_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if costs := usage.count_columns(labels.columns):
        footer[USAGE] = json.dumps(sum_columns(answered, costs))
    footer[REASONS] = reason_counts.write_counts(answered)
    if labels.pace:
        footer[PACE] = write_pace(labels.pace)
    footer[COPIED] = str(len(answered) - answered[COPIED_FROM.name].null_count)
    raw: Path | None = None
    failure: OSError | None = None
    if labels.responses is not None:
        raw = raw_path(run_dir, index, publication)
        try:
            footer[responses.SHA256] = responses.write(raw, footer, labels.responses)
        except OSError as error:
            failure = error
    # Writing takes a while. Another attempt may have published meanwhile, and may then have
    # deleted the parts that the responses are read from.
    if not _clear_place(run_dir, manifest, index):
        if raw:
            raw.unlink(missing_ok=True)
        return
    if failure:
        raise failure
    path = output_path(run_dir, index)
    path.parent.mkdir(exist_ok=True)
    table = _output_table(manifest, index, labels, answered)
    footer[ROWS_DIGEST] = digest_rows(table)
    files.write_parquet(path, table.replace_schema_metadata(footer))


def _clear_place(run_dir: Path, manifest: Manifest, index: int) -> bool:
    """Make sure that publishing destroys no file; return False if the shard has its output."""
    try:
        return not _verify(run_dir, manifest, index, files.READ_PAUSES).verified
    except DamagedError:
        set_aside(output_path(run_dir, index))
        return True


def _answers_in_order(index: int, labels: ShardLabels) -> pa.Table:
    """Return the answers in the order of the posts, with the posts that they were copied from."""
    posts = labels.posts["uri"].combine_chunks()
    origins = map(labels.copied_from.get, posts.to_pylist() if labels.copied_from else ())
    copied_from = (
        pa.array(origins, COPIED_FROM.type)
        if labels.copied_from
        else pa.nulls(len(posts), COPIED_FROM.type)
    )
    asked = pc.coalesce(copied_from, posts)
    rows = pc.index_in(asked, value_set=labels.answers["uri"].combine_chunks())
    strangers = labels.answers.num_rows - pc.count_distinct(rows, mode="only_valid").as_py()
    if rows.null_count or strangers:
        raise TaskError(
            Cause.CRASHED,
            f"shard {index} was not published: {counted(rows.null_count, 'post')} without an "
            f"answer, {counted(strangers, 'answer')} without a post",
        )
    answered = labels.answers.take(rows)
    # What the answer cost counts once, for the post that was asked about.
    is_own = pc.is_null(copied_from)
    for name in usage.count_columns(labels.columns):
        position = answered.column_names.index(name)
        column = answered.schema.field(position)
        costs = pc.if_else(is_own, answered[name], pa.scalar(None, column.type))
        answered = answered.set_column(position, column, costs)
    return answered.append_column(COPIED_FROM, copied_from)


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
    of_post = {field.name for field in POST_COLUMNS}
    arrays = []
    for column in schema:
        if column.name in provenance:
            value = pa.scalar(provenance[column.name], column.type)
            arrays.append(pa.repeat(value, labels.posts.num_rows))
        elif column.name in of_post:
            arrays.append(labels.posts[column.name])
        else:
            arrays.append(answered[column.name])
    return pa.table(arrays, schema=schema)


def read_paces(run_dir: Path, indices: Iterable[int]) -> dict[int, Pace]:
    """Return how fast the tasks of these shards were, where their outputs say so.

    An output that is missing, damaged or cannot be read now is left out.
    """
    paces = {}
    for index in indices:
        with contextlib.suppress(FileNotFoundError, UnreadableError, DamagedError):
            footer = read_parquet.read_footer(output_path(run_dir, index), pauses=())
            if pace := read_pace(_texts(footer.schema)):
                paces[index] = pace
    return paces


def _texts(schema: pa.Schema) -> dict[str, str]:
    """Return the metadata of a schema as texts. Raises UnicodeDecodeError if they are damaged."""
    return {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}


def _judge(
    path: Path, rows: int, footer: Mapping[str, str], manifest: Manifest, index: int
) -> OutputCheck:
    """Return what a footer shows. Raises DamagedError if it is not that of this output."""
    for key, expected in manifest.receipt(index).metadata().items():
        if footer.get(key) != expected:
            actual = f"is {footer[key]}" if key in footer else "is missing"
            raise DamagedError(path, f"its receipt is not this shard's: {key} {actual}")
    posts = manifest.shards[index].posts
    if rows != posts:
        raise DamagedError(
            path, f"it holds {counted(rows, 'row')}, but the shard {counted(posts, 'post')}"
        )
    attempt, copied = footer.get(ATTEMPT, ""), footer.get(COPIED, "")
    pace = read_pace(footer)
    return OutputCheck(
        publication=footer.get(PUBLICATION) or "unnamed",
        counts=_usage(footer.get(USAGE)),
        attempt=int(attempt) if attempt.isdecimal() else 0,
        copied=int(copied) if copied.isdecimal() else 0,
        peak_mb=pace.memory_mb if pace else None,
    )


def _usage(text: str | None) -> dict[str, int]:
    """Return the costs, or {} if they are damaged: an output counts for its rows alone."""
    try:
        return usage.read_counts(json.loads(text or "{}"))
    except (ValueError, RecursionError):
        return {}
