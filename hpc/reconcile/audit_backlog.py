"""Compare a backlog with the database and the files of its runs."""

import tempfile
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

import duckdb
import msgspec

from hpc.config import run_config
from hpc.config.run_config import Config
from hpc.database.next_start import start_after
from hpc.reconcile.audit_files import (
    GatheredShards,
    collect_files,
    examine_with,
    find_unchanged,
)
from hpc.run.model.run import Run, Say
from hpc.runs import find_runs
from hpc.runs.unusable_runs import UnusableRun
from pipeline.backlog import select, sources
from pipeline.backlog.scan import Scan
from pipeline.backlog.sources import Source
from pipeline.database import backlog_audit, duckdb_file, history
from pipeline.database.backlog_audit import Audit, Files
from pipeline.database.read_attached import attach_for_reading
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.sql import share_done
from pipeline.threads.in_background import in_background


class AuditedBacklog(msgspec.Struct, frozen=True, kw_only=True):
    """A backlog, and the runs of its name."""

    config: Config
    """The configuration."""
    source: Source
    """The files with the posts."""
    runs: list[Run]
    """The runs of the name, oldest first."""
    unusable: list[UnusableRun]
    """Those that may be of the name and cannot be read."""


class DatabaseRecords(msgspec.Struct, frozen=True, kw_only=True):
    """What the database had of the runs of a name, before they were looked at."""

    gathered: GatheredShards = {}
    """The shards that were gathered."""
    watermark: datetime | None = None
    """The time (UTC) from which the next run takes posts; None: from the beginning."""
    folders: Mapping[str, str] = {}
    """The folder of each run, by run id."""


class AuditedFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Where every post of a backlog is, and the outputs that were read to find out."""

    audit: Audit
    """The posts by place and by day, and what is wrong with the database's rows."""
    runs_gone: Mapping[str, str]
    """Runs that the database has and whose folder is gone, with that folder."""
    files: Files
    """The outputs that were read."""


def find_backlog(path: Path, overrides: tuple[str, ...], say: Say) -> AuditedBacklog:
    """Return the backlog of a configuration, and the runs of its name.

    Args:
        path: the configuration.
        overrides: texts such as `a.b=value`.
        say: receives a message for each folder that is a copy of a run.

    Raises:
        InputError: the configuration or the source is wrong.
    """
    config = run_config.load(path, overrides)
    folders = (path.parent.absolute(), Path.cwd())
    source = sources.find_source(config.backlog, folders, database=config.storage.database)
    for line in find_runs.find_copies(config.storage.run_root):
        say(line)
    runs, unusable = find_runs.find_named(config.storage.run_root, config.name)
    return AuditedBacklog(config=config, source=source, runs=runs, unusable=unusable)


def audit_backlog(backlog: AuditedBacklog, progress: Progress = NO_PROGRESS) -> AuditedFiles:
    """Compare a backlog with the database and the files of its runs.

    The database is read before anybody looks at the runs, and its rows and the backlog are copied
    while they are looked at.
    """
    name, storage, runs = backlog.config.name, backlog.config.storage, backlog.runs
    has_labels = duckdb_file.exists(storage.database)
    with (
        tempfile.TemporaryDirectory(prefix="hpc-audit-") as folder,
        select.session(Path(folder), storage.limits) as connection,
    ):
        recorded = _read_records(connection, backlog) if has_labels else DatabaseRecords()
        unchanged = find_unchanged(recorded.gathered, runs)
        if has_labels:
            duckdb_file.attach(connection, storage.database, backlog_audit.LABELED)
        scan = Scan(connection, backlog.source)
        load = partial(backlog_audit.load, connection, scan, name if has_labels else None)
        with in_background(load, connection.interrupt) as wait_for_rows:
            files = collect_files(recorded.gathered, unchanged, runs, backlog.unusable)
            share = partial(share_done, connection)
            with progress.step("reading the backlog and the database", measure=share):
                loaded = wait_for_rows()
        found = backlog_audit.audit(
            connection, loaded, recorded.watermark, files, examine_with(backlog.runs), progress
        )
    return AuditedFiles(audit=found, runs_gone=_find_deleted_runs(backlog, recorded), files=files)


def _read_records(
    connection: duckdb.DuckDBPyConnection, backlog: AuditedBacklog
) -> DatabaseRecords:
    """Return what the database has of the runs."""
    name, runs = backlog.config.name, backlog.runs
    with attach_for_reading(connection, backlog.config.storage.database, backlog_audit.LABELED):
        gathered = {run.run_id: history.gathered_shards(connection, run.run_id) for run in runs}
        return DatabaseRecords(
            gathered=gathered,
            watermark=start_after(connection, name, runs, gathered),
            folders=history.run_folders(connection, name),
        )


def _find_deleted_runs(backlog: AuditedBacklog, recorded: DatabaseRecords) -> dict[str, str]:
    """Return the runs that the database has and whose folder is gone, with that folder.

    The next submit takes those of their posts that were not gathered.
    """
    present = {run.run_id for run in backlog.runs} | {each.run_id for each in backlog.unusable}
    return {
        run_id: folder
        for run_id, folder in recorded.folders.items()
        if run_id not in present and not Path(folder).is_dir()
    }
