"""From a configuration to a frozen run: which posts, in which shards. The caller holds the run
root's lock; a death leaves a `.planning-` folder, which the next planning clears away."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from hpc.planning.exclusions import find_exclusions, labelled_by
from hpc.planning.provenance import git_commit
from hpc.planning.run_spec import RunSpec, Selection
from hpc.run.model import Run
from hpc.run.run_folder import PLANNING, typed_run
from pipeline import __version__, files
from pipeline.backlog import select, shards, sources
from pipeline.backlog.scan import day_before
from pipeline.backlog.select import BacklogCounts
from pipeline.backlog.shards import ShardSizes
from pipeline.classifiers import base
from pipeline.database import label_tables
from pipeline.model import Shard
from pipeline.run_files import manifest
from pipeline.run_files.manifest import Manifest
from pipeline.usage import UsedTokens

README = """\
One run of batch classification. manifest.json says what it is; shards/ holds its posts, outputs/
what became of them, logs/ and submissions/ how it went: keep these. work/ holds checkpoint parts
of shards that are not done, notes/ what its tasks told one another, raw/ the service's responses
where they are kept, named as the `hpc.publication` in their output's footer. Once
`python -m hpc.gather` has brought everything into the database, the whole folder may be deleted
(raw/ with it, which the database has not); to have one shard done again, delete its file in
outputs/.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunDraft:
    """How many posts a run would take, and in which shards. `since` is the watermark (UTC) from
    which on it looked; None: the whole backlog. `unlabelled_before` counts the rows from before
    that (to a day) that are more than there are labels: copies, or posts that came late. `paid` is
    what posts of the same question have used, where that has a price. `note`: what was asked for
    and is not there."""

    source: str
    since: datetime | None
    counts: BacklogCounts
    sizes: ShardSizes
    unlabelled_before: int | None = None
    paid: UsedTokens | None = None
    note: str = ""


def dry_run(agreed: RunSpec, folders: tuple[Path, ...], scope: Selection) -> RunDraft:
    """What `make_run` would take; leaves nothing behind."""
    with (
        tempfile.TemporaryDirectory(prefix="hpc-plan-") as name,
        _staged(agreed, folders, Path(name), scope) as (draft, _),
    ):
        return draft


def make_run(
    agreed: RunSpec, folders: tuple[Path, ...], scope: Selection, given: str
) -> tuple[Run | None, RunDraft]:
    """Freezes the posts that have no label and are in no unfinished run of the same name.

    No run where there are none. Raises InputError for the source, OSError where the disk is full;
    then nothing is left behind.

    Args:
        given: the configuration's text, kept in the run's folder.
    """
    root = agreed.config.storage.run_root
    root.mkdir(parents=True, exist_ok=True)
    for abandoned in root.glob(f"{PLANNING}*"):
        shutil.rmtree(abandoned)
    now = datetime.now(UTC)
    run_id = f"{now:%Y%m%dT%H%M%S}-{agreed.config.name}-{uuid.uuid4().hex[:8]}"
    folder = root / f"{PLANNING}{run_id}"
    folder.mkdir()
    try:
        staging = folder / "staging"
        staging.mkdir()
        with _staged(agreed, folders, staging, scope) as (draft, connection):
            if not draft.counts.posts:
                return None, draft
            # A reader that is not closed keeps the staging open, and where NFS removes an open
            # file it leaves another in its place, so that the folder cannot be removed.
            with select.oldest_first(connection, draft.counts, rows=10_000) as reader:
                frozen = shards.write_shards(folder, reader, draft.sizes)
        shutil.rmtree(staging)
        made = _manifest(agreed, run_id, now, frozen, scope)
        for name in ("outputs", "work", "logs", "submissions"):
            (folder / name).mkdir()
        files.write_text(folder / "config.yaml", given)
        files.write_text(folder / "README", README)
        manifest.write(folder, made)
        folder.rename(root / run_id)
        return typed_run(root / run_id, made), draft
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _manifest(
    agreed: RunSpec, run_id: str, now: datetime, frozen: tuple[Shard, ...], scope: Selection
) -> Manifest:
    config = agreed.config
    return Manifest(
        format=manifest.FORMAT,
        run_id=run_id,
        name=config.name,
        created_at=now.replace(tzinfo=None).isoformat(timespec="seconds"),
        version=__version__,
        database=str(config.storage.database),
        classifier=agreed.classifier,
        config_hash=agreed.question.hash,
        min_text_length=config.backlog.min_text_length,
        checkpoint_rows=config.checkpoint.rows,
        checkpoint_seconds=config.checkpoint.seconds,
        retry=agreed.config.retry.to_json(),
        cluster=agreed.config.cluster.to_json(),
        array_size=agreed.array_size,
        shards=frozen,
        commit=git_commit(),
        replaces=scope.replaces,
        only_labelled_by=scope.only_labelled_by or "",
    )


@contextmanager
def _staged(
    agreed: RunSpec, folders: tuple[Path, ...], folder: Path, scope: Selection
) -> Iterator[tuple[RunDraft, duckdb.DuckDBPyConnection]]:
    source = sources.find_source(agreed.config.backlog, folders)
    with select.staging(folder) as connection:
        behind = find_exclusions(
            agreed.config,
            connection,
            agreed.question,
            replaces=scope.replaces,
            retry_reason=scope.retry_reason,
            without=scope.without,
            columns=base.declared(agreed.classifier),
        )
        since = None if scope.is_whole else behind.since
        other = scope.only_labelled_by
        counts = select.stage_posts(
            connection,
            source,
            exclude=behind.uris,
            since=since,
            limit=scope.limit,
            choose_from=labelled_by(agreed.config, connection, other) if other else None,
        )
        sizes = shards.shard_sizes(counts.posts, agreed.config.sharding)
        unlabelled = None
        if since and counts.unread is not None:
            name = agreed.config.name
            rows = label_tables.count_before(connection, name, "labelled", day_before(since))
            unlabelled = max(0, counts.unread - rows)
        draft = RunDraft(
            source=str(source),
            since=since,
            counts=counts,
            sizes=sizes,
            unlabelled_before=unlabelled,
            paid=_paid(agreed, connection),
            note=behind.note,
        )
        yield draft, connection


def _paid(agreed: RunSpec, connection: duckdb.DuckDBPyConnection) -> UsedTokens | None:
    if not agreed.classifier.get("price"):
        return None
    return label_tables.paid(connection, agreed.config.name, "labelled", agreed.question.hash)
