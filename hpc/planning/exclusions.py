"""Find the posts that a new run leaves out: labeled ones, and those of unfinished runs."""

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from hpc.database.next_start import gathered_shards, read_start
from hpc.planning import waiting_posts
from hpc.planning.fingerprint import reject_other_fingerprint
from hpc.planning.run_spec import RunSpec, Selection
from hpc.run.model.run import Run
from hpc.runs import find_runs
from pipeline.backlog import select
from pipeline.database import choose_posts, duckdb_file, history, label_tables, supersede
from pipeline.errors import InputError, RunError
from pipeline.messages.options import ONLY_LABELED_BY, RETRY_REASON
from pipeline.sql import parquet_rows
from pipeline.text import did_you_mean

# The labels' database on the planning connection.
LABELS = "labeled"


@dataclass(frozen=True, kw_only=True, slots=True)
class Exclusions:
    """Which posts a new run leaves out, and the time from which it takes others."""

    uris: str | None
    """SQL that yields the uris to leave out; None if there are none."""
    watermark: datetime | None
    """Every post planned up to this time (UTC) has a row; None if nothing is certain."""
    notes: tuple[str, ...] = ()
    """What a person should know: something that was asked for does not exist."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Gathered:
    """What the labels' database knows about the name's runs."""

    shards: dict[str, set[int]]
    """The gathered shards of each run, by run id."""
    watermark: datetime | None

    def missing_from(self, run: Run) -> list[int]:
        gathered = self.shards.get(run.run_id, set())
        return [shard.index for shard in run.manifest.shards if shard.index not in gathered]


def find_exclusions(
    spec: RunSpec,
    selection: Selection,
    connection: duckdb.DuckDBPyConnection,
    now: datetime | None = None,
) -> Exclusions:
    """Look into the run root and the labels' database, which stays attached to `connection`.

    Args:
        spec: the new run's configuration.
        selection: which posts are wanted.
        connection: the planning database; it gets the labels' one attached as LABELS.
        now: the time (UTC); by default, that of the clock.

    Raises:
        InputError: the name's labels were made with another configuration and are not to be
            superseded, its table has a column of another type, or the reason to retry is
            misspelled.
        BusyError: another process holds the database.
        RunError: nobody can tell which posts an unfinished run has.
    """
    runs = _runs_that_count(spec, selection)
    gathered = _read_database(spec, selection, runs, now)
    database = spec.config.storage.database
    has_labels = duckdb_file.exists(database)
    if has_labels:
        duckdb_file.attach(connection, database, LABELS)
    notes = _check_retry_reason(spec, selection, connection, has_labels=has_labels)
    queries = []
    if has_labels:
        _reject_mapped_name(spec, connection)
        _reject_other_types(spec, connection)
        queries.append(_labeled_uris(spec, selection, connection))
    waiting = [(run, index) for run in runs for index in gathered.missing_from(run)]
    waiting += [
        (run, shard.index)
        for run in runs
        if run.run_id in selection.not_of_runs
        for shard in run.manifest.shards
        if (run, shard.index) not in waiting
    ]
    if waiting:
        queries.append(waiting_posts.stage(connection, waiting))
    return Exclusions(
        uris=" UNION ALL ".join(filter(None, queries)) or None,
        watermark=gathered.watermark,
        notes=notes,
    )


def uris_labeled_under(name: str, spec: RunSpec, connection: duckdb.DuckDBPyConnection) -> str:
    """Return SQL that yields the posts that another name has labeled.

    Args:
        name: the other name.
        spec: the new run's configuration.
        connection: the planning database, after `find_exclusions`.

    Raises:
        InputError: there are no labels of that name.
    """
    database = spec.config.storage.database
    if name == spec.config.name:
        raise InputError(f"{ONLY_LABELED_BY.set_to(name)}: this is the configuration's own name")
    if not duckdb_file.exists(database):
        raise InputError(f"{ONLY_LABELED_BY.set_to(name)}: there is no database {database} yet")
    uris = label_tables.successful_uris(connection, name, LABELS)
    if uris is None:
        names = label_tables.names(connection, LABELS)
        raise InputError(
            f"{ONLY_LABELED_BY.set_to(name)}: {database} has no labels of that name"
            f"{did_you_mean(name, names)}; it has: {', '.join(names) or 'none'}"
        )
    return uris


def uris_chosen_by_labels(spec: RunSpec, selection: Selection, folder: Path) -> str | None:
    """Return SQL that yields the posts that `selection.where` chooses; None without a condition.

    The condition is evaluated before the planning begins, in a session that can do nothing else.

    Args:
        spec: the new run's configuration.
        selection: has the condition, and the name whose labels it is about.
        folder: gets a file with the uris.

    Raises:
        InputError: the condition is wrong, or there are no labels of that name.
    """
    other = selection.only_labeled_by
    if not (selection.where and other):
        return None
    database, file = spec.config.storage.database, folder / "chosen.parquet"
    limits = spec.config.storage.limits
    with select.session(folder, limits) as connection:
        if duckdb_file.exists(database):
            duckdb_file.attach(connection, database, LABELS)
        uris_labeled_under(other, spec, connection)
    choose_posts.write_chosen_uris(database, other, selection.where, file, limits)
    return f"SELECT uri FROM {parquet_rows([file])}"


def _runs_that_count(spec: RunSpec, selection: Selection) -> list[Run]:
    runs = [
        run
        for run in find_runs.load_named(spec.config.storage.run_root, spec.config.name)
        if run.run_id not in selection.without
    ]
    if selection.supersede:
        return [run for run in runs if run.manifest.config_hash == spec.label_spec.hash]
    return runs


def reject_unreadable_labels(
    spec: RunSpec, exclusions: Exclusions, connection: duckdb.DuckDBPyConnection
) -> None:
    """Raise RunError if the labels' database is damaged, so that nobody takes it for the source."""
    try:
        connection.execute(f"SELECT count(uri) FROM ({exclusions.uris or 'SELECT NULL AS uri'})")
    except duckdb.Error as error:
        duckdb_file.raise_system_error(spec.config.storage.database, error)
        raise RunError(
            f"the database {spec.config.storage.database} cannot be read: {error}. To "
            "rebuild it from the run folders, run: hpc gather --rebuild"
        ) from None


def _read_database(
    spec: RunSpec, selection: Selection, runs: list[Run], now: datetime | None
) -> _Gathered:
    config = spec.config
    database = config.storage.database
    with (
        duckdb_file.open_database(database, read_only=True)
        if duckdb_file.exists(database)
        else nullcontext()
    ) as labels:
        if not selection.supersede:
            newest = history.newest_labeled_run(labels, config.name) if labels else None
            reject_other_fingerprint(spec.label_spec, config.name, runs, newest)
        if labels is None:
            return _Gathered(shards={}, watermark=None)
        return _Gathered(
            shards=gathered_shards(labels, runs),
            watermark=read_start(labels, config.name, runs, now),
        )


def _labeled_uris(
    spec: RunSpec, selection: Selection, connection: duckdb.DuckDBPyConnection
) -> str | None:
    outdated = supersede.outdated_condition(
        selection.replaces, spec.label_spec.hash, reason=selection.retry_reason
    )
    return label_tables.labeled_uris(connection, spec.config.name, LABELS, outdated=outdated)


def _check_retry_reason(
    spec: RunSpec,
    selection: Selection,
    connection: duckdb.DuckDBPyConnection,
    *,
    has_labels: bool,
) -> tuple[str, ...]:
    """Return a note if no post ever had the reason to retry, or reject it as misspelled.

    With a misspelled reason the run would take new and late posts, and none of those that were
    meant. Who retries the same reason every night, however, may do so before any post has it.
    """
    reason, name = selection.retry_reason, spec.config.name
    if not reason:
        return ()
    known = supersede.reasons(connection, name, LABELS) if has_labels else []
    if reason in known:
        return ()
    suggestion = did_you_mean(reason, known)
    note = (
        f"{RETRY_REASON.set_to(reason)}: no post under the name {name} has that reason"
        f"{suggestion}; there are: {', '.join(known) or 'none'}"
    )
    if suggestion:
        raise InputError(note)
    return (note,)


def _reject_mapped_name(spec: RunSpec, connection: duckdb.DuckDBPyConnection) -> None:
    """Raise InputError if the name is that of mapped labels, which are a view."""
    name = spec.config.name
    if label_tables.is_mapped(connection, name, LABELS):
        raise InputError(
            f"name: {name}: {spec.config.storage.database} has mapped labels of that name, made by "
            "hpc compare --save-map. Give the configuration another name"
        )


def _reject_other_types(spec: RunSpec, connection: duckdb.DuckDBPyConnection) -> None:
    """Reject columns that gathering would reject once everything is paid for."""
    name = spec.config.name
    schema = pa.schema(column.arrow() for column in spec.columns)
    if other := label_tables.find_type_conflict(connection, name, LABELS, schema):
        column, existing, wanted = other
        raise InputError(
            f"table {label_tables.labels_table(name)}: column {column} is {existing}, but this "
            f"configuration's labels are {wanted}: give it a new name"
        )
