"""Check an output's rows against the shard that they answer, and against its own footer.

A receipt says which input an output answers. These checks show that its rows do.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pyarrow as pa

from pipeline import files
from pipeline.errors import DamagedError, UnreadableError
from pipeline.late_imports import arrow_compute as pc
from pipeline.model import COPIED_FROM, ENVELOPE, PROVENANCE
from pipeline.run_files import read_parquet
from pipeline.run_files.manifest import Manifest, shard_path
from pipeline.run_files.rows_digest import digest_rows
from pipeline.text import counted

# Keys of an output's footer.
ATTEMPT = "hpc.attempt"
ROWS_DIGEST = "hpc.rows_sha256"


class RowsCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of an output show."""

    problem: str | None = None
    """Why they are not the rows of this shard's output; None if nothing is wrong with them."""
    unchecked: str | None = None
    """What could not be compared, and why; None if everything was."""


def check_rows(
    run_dir: Path,
    manifest: Manifest,
    index: int,
    table: pa.Table,
    footer: Mapping[str, str],
    *,
    pauses: Sequence[float] = files.READ_PAUSES,
) -> RowsCheck:
    """Check that an output's rows are exactly those of its shard.

    They have an output's columns; each post of the shard has one row, and there is no other; run,
    shard, attempt and labeling setup are those of the output in every row; each copy has the text
    of the post that it was copied from, whose row is no copy; and the digest that was written at
    publication is theirs. Outputs of older versions carry no digest, or know no copies.

    Args:
        run_dir: the run's folder.
        manifest: the run's manifest.
        index: the shard's index.
        table: the whole output.
        footer: the metadata in the output's footer.
        pauses: seconds to wait before each new try to read the shard's file.
    """
    problem = (
        _check_columns(table.schema)
        or _check_provenance(manifest, index, table, footer)
        or _check_digest(table, footer)
        or _check_copies(table)
    )
    if problem:
        return RowsCheck(problem=problem)
    return _check_uris(run_dir, manifest, index, table["uri"], pauses)


def _check_columns(schema: pa.Schema) -> str | None:
    types = dict(zip(schema.names, schema.types, strict=True))
    types.setdefault(COPIED_FROM.name, COPIED_FROM.type)
    if all(types.get(field.name) == field.type for field in (*ENVELOPE, *PROVENANCE)):
        return None
    return "it does not have an output's columns"


def _check_provenance(
    manifest: Manifest, index: int, table: pa.Table, footer: Mapping[str, str]
) -> str | None:
    expected = {
        "run_id": manifest.run_id,
        "shard_index": str(index),
        "config_hash": manifest.config_hash,
    }
    if ATTEMPT in footer:
        expected[ATTEMPT.removeprefix("hpc.")] = footer[ATTEMPT]
    for name in ("run_id", "shard_index", "attempt", "config_hash"):
        values = pc.unique(table[name])
        if len(values) > 1:
            return f"its rows differ in {name}"
        actual = str(values[0].as_py()) if len(values) else expected.get(name)
        if actual != expected.get(name, actual):
            return f"{name} is {actual} in its rows, and not {expected[name]}"
    return None


def _check_digest(table: pa.Table, footer: Mapping[str, str]) -> str | None:
    if ROWS_DIGEST not in footer:
        return None
    try:
        actual = digest_rows(table)
    except ValueError as error:
        return str(error)
    if actual == footer[ROWS_DIGEST]:
        return None
    return "its rows are not those that were published: their digest is another"


def _check_copies(table: pa.Table) -> str | None:
    if COPIED_FROM.name not in table.column_names:
        return None
    is_own = pc.is_null(table[COPIED_FROM.name])
    if pc.all(is_own).as_py():
        return None
    own, copies = table.filter(is_own), table.filter(pc.invert(is_own))
    origins = pc.index_in(copies[COPIED_FROM.name], value_set=own["uri"].combine_chunks())
    is_same = pc.equal(copies["text"], own["text"].take(origins))
    if pc.all(pc.fill_null(is_same, False)).as_py():
        return None
    return "a row says that it was copied from a post that is not there or has another text"


def _check_uris(
    run_dir: Path,
    manifest: Manifest,
    index: int,
    uris: pa.ChunkedArray,
    pauses: Sequence[float],
) -> RowsCheck:
    path = shard_path(run_dir, index)
    posts, unchecked = None, ""
    try:
        posts = read_parquet.read_table(path, columns=["uri"], pauses=pauses)
        if posts.column_names == ["uri"] and uris.equals(posts["uri"]):
            return RowsCheck()  # a shard holds each post once
        # A shard's file proves something against an output only if it is the planned one.
        if files.sha256_of(path) != manifest.shards[index].sha256:
            unchecked = f"{path} has changed since the run was planned"
    except FileNotFoundError:
        unchecked = f"{path} is missing"
    except (UnreadableError, DamagedError) as error:
        unchecked = str(error)
    except OSError as error:
        unchecked = str(UnreadableError(path, error))
    repeated = len(uris) - pc.count_distinct(uris).as_py()
    if repeated:
        return RowsCheck(problem=f"it repeats {counted(repeated, 'post')}")
    if posts is None or unchecked:
        return RowsCheck(unchecked=unchecked)
    return _compare_uris(uris, posts)


def _compare_uris(uris: pa.ChunkedArray, posts: pa.Table) -> RowsCheck:
    """Compare an output's uris with the posts of its shard, in any order."""
    answered = pc.sum(pc.is_in(posts["uri"], value_set=uris.combine_chunks())).as_py() or 0
    missing = posts.num_rows - answered
    if missing:
        return RowsCheck(problem=f"it lacks {counted(missing, 'post')} of its shard")
    if len(uris) > posts.num_rows:
        foreign = counted(len(uris) - posts.num_rows, "post")
        return RowsCheck(problem=f"it has {foreign} that its shard does not have")
    return RowsCheck()
