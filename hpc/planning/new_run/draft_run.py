"""Select the posts of a new run in a staging database, and count what the run would take."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import duckdb

from hpc.planning.exclusions import (
    LABELS,
    Exclusions,
    find_exclusions,
    reject_unreadable_labels,
    uris_chosen_by_labels,
    uris_labeled_under,
)
from hpc.planning.measured.cut_posts import cut_posts, first_posts
from hpc.planning.new_run.run_draft import RunDraft
from hpc.planning.new_run.stage_sample import StagedSample, find_sample, stage_again, stage_new
from hpc.planning.run_spec import RunSpec, Selection
from pipeline.backlog import select, sources
from pipeline.backlog.repeated_texts import (
    COPY,
)
from pipeline.backlog.scan import day_before
from pipeline.backlog.select import BacklogCounts
from pipeline.backlog.sources import Source
from pipeline.backlog.unsent import find_unsent, first_to_send
from pipeline.database import label_tables
from pipeline.errors import InputError
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.sql import share_done
from pipeline.usage import UsedTokens


def draft_run(
    spec: RunSpec,
    selection: Selection,
    folders: tuple[Path, ...],
    progress: Progress = NO_PROGRESS,
) -> RunDraft:
    """Return what `create_run` would take; leave nothing behind.

    Raises:
        InputError: the source or the name does not fit, as for `create_run`.
    """
    with (
        tempfile.TemporaryDirectory(prefix="hpc-plan-") as name,
        stage_draft(spec, selection, folders, Path(name), progress) as (draft, connection),
    ):
        min_length = spec.config.backlog.min_text_length
        together = min(spec.cost_options.posts_together, draft.sizes.largest)
        copies = COPY if draft.repeated.texts else None
        first = first_to_send(connection, draft.counts, min_length, most=together, but=copies)
        return replace(draft, first=first)


@contextmanager
def stage_draft(
    spec: RunSpec,
    selection: Selection,
    folders: tuple[Path, ...],
    folder: Path,
    progress: Progress,
    now: datetime | None = None,
) -> Iterator[tuple[RunDraft, duckdb.DuckDBPyConnection]]:
    """Yield a draft, and the staging database in `folder` with its posts."""
    with select.staging(folder, spec.config.storage.limits) as connection:
        with progress.step("reading the posts", measure=partial(share_done, connection)):
            draft = _draft(spec, selection, folders, connection, folder, now)
        yield draft, connection


def _draft(
    spec: RunSpec,
    selection: Selection,
    folders: tuple[Path, ...],
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    now: datetime | None,
) -> RunDraft:
    source = sources.find_source(
        spec.config.backlog, folders, database=spec.config.storage.database
    )
    chosen = uris_chosen_by_labels(spec, selection, folder)
    exclusions = find_exclusions(spec, selection, connection, now)
    since = None if selection.is_whole else exclusions.watermark
    counts, sample = _stage_posts(spec, selection, source, exclusions, connection, chosen)
    if selection.canary is not None:
        counts = first_posts(counts, selection.canary.posts)
    unsent = find_unsent(connection, counts, spec.config.backlog.min_text_length)
    cut = cut_posts(spec, selection, counts, unsent, connection)
    return RunDraft(
        source=str(source),
        since=since,
        counts=counts,
        sizes=cut.sizes,
        unlabeled_before=_unlabeled_before(spec, since, counts, connection),
        paid=_paid(spec, connection),
        future=select.find_future(connection, now or datetime.now(UTC).replace(tzinfo=None)),
        ancient=select.find_ancient(connection),
        unsent=unsent,
        repeated=cut.repeated,
        notes=(*source.notes, *exclusions.notes),
        files=len(source.files),
        left_out=source.left_out,
        sample=sample,
        pace=cut.pace,
        shard_size=cut.shard_size,
    )


def _stage_posts(
    spec: RunSpec,
    selection: Selection,
    source: Source,
    exclusions: Exclusions,
    connection: duckdb.DuckDBPyConnection,
    chosen: str | None,
) -> tuple[BacklogCounts, StagedSample | None]:
    """Stage the posts, as `select.stage_posts` does.

    `chosen` is SQL that yields the uris which the labels of another name chose, if any did.
    """
    other = selection.only_labeled_by
    sample = None
    if selection.sample or selection.sample_name:
        sample = find_sample(spec, selection, connection)
    try:
        if sample:
            return stage_again(sample, source, exclusions.uris, connection)
        choose_from = chosen or (uris_labeled_under(other, spec, connection) if other else None)
        if selection.sample:
            return stage_new(spec, selection, source, exclusions.uris, connection, choose_from)
        counts = select.stage_posts(
            connection,
            source,
            exclude=exclusions.uris,
            since=None if selection.is_whole else exclusions.watermark,
            limit=selection.limit,
            choose_from=choose_from,
        )
    except InputError:
        reject_unreadable_labels(spec, exclusions, connection)
        raise
    return counts, None


def _unlabeled_before(
    spec: RunSpec,
    since: datetime | None,
    counts: BacklogCounts,
    connection: duckdb.DuckDBPyConnection,
) -> int | None:
    if since is None or not counts.unread:
        return None
    rows = label_tables.count_before(connection, spec.config.name, LABELS, day_before(since))
    return max(0, counts.unread - rows)


def _paid(spec: RunSpec, connection: duckdb.DuckDBPyConnection) -> UsedTokens | None:
    if not spec.cost_options.price:
        return None
    return label_tables.read_used_tokens(connection, spec.config.name, LABELS, spec.label_spec.hash)
