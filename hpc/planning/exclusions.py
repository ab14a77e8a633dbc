"""What a name has behind it: the posts that a new run leaves out, and since when it looks for
others; and what another name has labelled."""

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa

from hpc.planning.fingerprint import LabelSpec, reject_other_fingerprint
from hpc.run import run_folder
from hpc.run.model import Run
from hpc.run.run_config import Config
from pipeline.database import duckdb_file, history, label_tables, supersede
from pipeline.errors import InputError
from pipeline.model import Column
from pipeline.run_files import manifest
from pipeline.sql import file_list
from pipeline.text import did_you_mean


@dataclass(frozen=True, slots=True)
class Exclusions:
    """`uris` is SQL that yields the posts that have a row, or are in a shard that is not gathered
    yet; None where there are none. `since` is the watermark (UTC); None: from the beginning. `note`
    is for the user: what was asked for and is not there."""

    uris: str | None
    since: datetime | None
    note: str = ""


def find_exclusions(
    config: Config,
    connection: duckdb.DuckDBPyConnection,
    question: LabelSpec,
    *,
    replaces: str = "",
    retry_reason: str | None = None,
    without: frozenset[str] = frozenset(),
    columns: tuple[Column, ...] = (),
) -> Exclusions:
    """Looks into the run root and the database, which stays attached to the planning connection.

    Args:
        replaces: which rows do not count, because the run is to replace them.
        retry_reason: of the unlabelable ones, only those of this reason.
        without: ids of runs that are as good as gone.
        columns: the new labels', which have to fit the name's table.

    Raises InputError where the name's labels answer another question, unless they are to be
    superseded, or where that reason is one misspelt, or the table has a column of another type.
    """
    database, parts, note = config.storage.database, [], ""
    gathered: dict[str, set[int]] = {}
    since = None
    named = run_folder.named(config.storage.run_root, config.name)
    named = [run for run in named if run.run_id not in without]
    there = database.exists()
    with duckdb_file.opened(database, read_only=True) if there else nullcontext() as labels:
        if replaces == supersede.OTHER_CONFIG:
            named = [run for run in named if run.manifest.config_hash == question.hash]
        else:
            recorded = history.newest_labelled_run(labels, config.name) if labels else None
            reject_other_fingerprint(question, config.name, named, recorded)
        if labels:
            gathered = {
                run.run_id: set(history.gathered_shards(labels, run.run_id)) for run in named
            }
            since = history.watermark(labels, config.name, _first_waiting(named, gathered))
    if there:
        duckdb_file.attach(connection, database, "labelled")
    if retry_reason:
        known = supersede.reasons(connection, config.name, "labelled") if there else []
        note = _unknown(retry_reason, known, config.name)
    if there:
        _refuse_other_types(connection, config.name, columns)
        outdated = supersede.outdated(replaces, question.hash, reason=retry_reason)
        labelled = label_tables.labelled_uris(
            connection, config.name, "labelled", outdated=outdated
        )
        parts += [labelled] if labelled else []
    waiting = [
        manifest.shard_path(run.folder, index) for run in named for index in _waiting(run, gathered)
    ]
    if waiting:
        parts.append(f"SELECT uri FROM read_parquet({file_list(waiting)})")
    return Exclusions(" UNION ALL ".join(parts) or None, since, note)


def labelled_by(config: Config, connection: duckdb.DuckDBPyConnection, other: str) -> str:
    """SQL that yields the posts that another name has labelled, in the database that `taken` has
    attached. Raises InputError where there is no such name in it."""
    database = config.storage.database
    if other == config.name:
        raise InputError(f"--only-labelled-by {other}: that is this configuration's own name")
    if not database.exists():
        raise InputError(f"--only-labelled-by {other}: there is no database {database} yet")
    uris = label_tables.successful_uris(connection, other, "labelled")
    if uris is None:
        there = ", ".join(label_tables.names(connection, "labelled")) or "none"
        raise InputError(
            f"--only-labelled-by {other}: {database} has no labels of that name; it has: {there}"
        )
    return uris


def _unknown(reason: str, known: list[str], name: str) -> str:
    """Misspelt, it would take what is new and late, and nothing of what was meant. But who asks for
    the same reason each night may ask before a post has it: '' where one ever had."""
    if reason in known:
        return ""
    hint = did_you_mean(reason, known)
    note = (
        f"--retry-unlabelable {reason}: no post under the name {name} has that reason{hint}; "
        f"there are: {', '.join(known) or 'none'}"
    )
    if hint:
        raise InputError(note)
    return note


def _refuse_other_types(
    connection: duckdb.DuckDBPyConnection, name: str, columns: tuple[Column, ...]
) -> None:
    """Gathered, they would be refused when all is paid for."""
    schema = pa.schema(column.arrow() for column in columns)
    if other := label_tables.of_another_type(connection, name, "labelled", schema):
        column, had, kind = other
        raise InputError(
            f"table {label_tables.labels_table(name)}: column {column} is {had}, and would be "
            f"{kind} by this configuration: give it a new name"
        )


def _waiting(run: Run, gathered: dict[str, set[int]]) -> list[int]:
    have = gathered.get(run.run_id, set())
    return [shard.index for shard in run.manifest.shards if shard.index not in have]


def _first_waiting(named: list[Run], gathered: dict[str, set[int]]) -> datetime | None:
    """The time of the oldest post in a shard that is not gathered. The database may not have heard
    of that run yet, and its own watermark be too late."""
    return min(
        (
            datetime.fromisoformat(run.manifest.shards[index].min_preprocessing_timestamp)
            for run in named
            for index in _waiting(run, gathered)
        ),
        default=None,
    )
