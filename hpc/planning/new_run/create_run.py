"""Create a run: select its posts and freeze them, with the configuration, in the run's folder.

The caller holds the run root's lock. A process that dies leaves a `.planning-` folder, which the
next planning deletes.
"""

import contextlib
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from hpc.database.run_database import check_writable
from hpc.planning.handed_over.task_list import write_hand_over
from hpc.planning.new_run.draft_run import stage_draft
from hpc.planning.new_run.provenance import git_commit
from hpc.planning.new_run.run_draft import RunDraft
from hpc.planning.new_run.stage_sample import (
    write_sample,
)
from hpc.planning.run_spec import RunSpec, Selection
from hpc.run.model.run import Run
from hpc.run.run_folder import PLANNING, typed_run
from hpc.runs.find_runs import all_runs
from pipeline import __version__, files
from pipeline.backlog import select, shards
from pipeline.backlog.repeated_texts import (
    RepeatedTexts,
    copies_after_first,
)
from pipeline.backlog.unsent import give_reasons
from pipeline.classifiers.registry import load
from pipeline.model import Shard
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.run_files import manifest
from pipeline.run_files.manifest import Manifest
from pipeline.run_files.portable_paths import project_folders

README = """\
This folder is one run of a batch classification.

manifest.json says what the run is. shards/ holds its posts, outputs/ their labels, logs/ and
submissions/ how it went: keep these. work/ holds the answers so far of shards that are not
done, notes/ what the run's tasks share with each other. raw/ holds the service's responses, if the
configuration keeps them; the footer of each output names its file (`hpc.publication`).
Paths in manifest.json that begin with {run}/ are relative to this folder.

amendments/, if it is there, holds later corrections of the configuration: keep it.
notifications/, if it is there, says which events of the run were reported to you.

Once a shard is gathered, its files in logs/0001/, logs/0002/ and so on, and in work/, are packed:
logs/00007.log has the logs of all attempts at shard 7, and logs/packed.jsonl what is known of each
attempt. `hpc logs`, `hpc audit --post` and the database's history read both: keep them.

To have one shard labeled again, delete its file in outputs/ and run `hpc supervise`. Once
`hpc gather` has copied all labels into the database, the whole folder may be deleted. Keep raw/ if
you need the responses: the database does not hold them.
"""
POSTS_PER_BATCH = 10_000
STAMP = "%Y%m%dT%H%M%S"


@dataclass(frozen=True, kw_only=True, slots=True)
class WhilePlanning:
    """What happens while a run is planned."""

    approve: Callable[[RunDraft], None] = lambda draft: None
    """Called before posts are frozen; what it raises leaves nothing behind."""
    progress: Progress = NO_PROGRESS
    """Shows how far reading and writing are."""


_UNATTENDED = WhilePlanning()


def run_before_creation(spec: RunSpec, selection: Selection, now: datetime) -> Run:
    """Return the run that `create_run` would make, without its posts. Nothing is written.

    Its id ends in zeros, because a real one has digits that nobody knows before.

    Args:
        spec: the run's configuration.
        selection: which posts it takes.
        now: the time (UTC).
    """
    root = spec.config.storage.run_root
    run_id = f"{next_stamp(root, now)}-{spec.config.name}-{'0' * 8}"
    made = _manifest(spec, selection, run_id, now, (), selection.sample_name)
    return Run(root / run_id, made, spec.config.cluster, spec.config.retry)


def create_run(
    spec: RunSpec,
    selection: Selection,
    folders: tuple[Path, ...],
    config_text: str,
    *,
    now: datetime | None = None,
    meanwhile: WhilePlanning = _UNATTENDED,
) -> tuple[Run | None, RunDraft]:
    """Freeze the selected posts as a new run. Without any there is no run.

    Args:
        spec: the run's configuration.
        selection: which posts to take.
        folders: where a relative source may start from.
        config_text: the configuration as it was given, kept in the run's folder.
        now: the time (UTC); by default, that of the clock.
        meanwhile: what to do while the run is planned.

    Raises:
        InputError: the source cannot be read, or the name's labels do not fit.
        RunError: nobody can tell which posts an unfinished run has.
        OSError: the disk is full, or the database is closed to this user. Nothing is left behind.
    """
    root = spec.config.storage.run_root
    root.mkdir(parents=True, exist_ok=True)
    for abandoned in root.glob(f"{PLANNING}*"):
        with contextlib.suppress(PermissionError):  # another user's, who will remove it
            shutil.rmtree(abandoned)
    now = now or datetime.now(UTC).replace(tzinfo=None)
    run_id = f"{next_stamp(root, now)}-{spec.config.name}-{uuid.uuid4().hex[:8]}"
    folder = root / f"{PLANNING}{run_id}"
    folder.mkdir()
    try:
        staging = folder / "staging"
        staging.mkdir()
        with stage_draft(spec, selection, folders, staging, meanwhile.progress, now) as (
            draft,
            connection,
        ):
            if draft.counts.posts:
                check_writable(spec.config.storage.database)
                meanwhile.approve(draft)
            if draft.sample:  # before the run, which names it
                write_sample(root, draft.sample, connection)
            if not draft.counts.posts:
                return None, draft
            if spec.config.classifier.kind == manifest.EXTERNAL:  # its engine reads the shards only
                give_reasons(connection, spec.config.backlog.min_text_length)
            # A reader that is not closed keeps the staging database open. NFS replaces an open
            # file that is deleted by another one, and then the folder cannot be deleted.
            with _posts_to_freeze(connection, draft) as reader:
                frozen = shards.write_shards(folder, reader, draft.sizes, meanwhile.progress)
            draft = replace(draft, repeated=_with_copies_of(frozen, draft.repeated))
        shutil.rmtree(staging)
        sample = draft.sample.description.sample if draft.sample else None
        run_manifest = _manifest(spec, selection, run_id, now, frozen, sample)
        for name in ("outputs", "work", "logs", "submissions"):
            (folder / name).mkdir()
        files.write_text(folder / "config.yaml", config_text)
        files.write_text(folder / "README", README)
        if run_manifest.is_labeled_elsewhere:
            write_hand_over(folder, run_manifest)
        manifest.write(folder, run_manifest, project_folders(root, Path.cwd()))
        folder.rename(root / run_id)
        return typed_run(root / run_id, manifest.read(root / run_id)), draft
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _posts_to_freeze(
    connection: duckdb.DuckDBPyConnection, draft: RunDraft
) -> pa.RecordBatchReader:
    read = copies_after_first if draft.repeated.texts else select.oldest_first
    return read(connection, draft.counts, POSTS_PER_BATCH)


def _with_copies_of(frozen: tuple[Shard, ...], repeated: RepeatedTexts) -> RepeatedTexts:
    """Return the counts as the shards have decided them."""
    copied = sum(shard.copies for shard in frozen)
    return replace(repeated, asked_again=repeated.posts - repeated.texts - copied)


def _manifest(
    spec: RunSpec,
    selection: Selection,
    run_id: str,
    now: datetime,
    frozen: tuple[Shard, ...],
    sample: str | None,
) -> Manifest:
    config = spec.config
    return Manifest(
        format=manifest.FORMAT,
        run_id=run_id,
        name=config.name,
        created_at=now.isoformat(timespec="milliseconds"),
        version=__version__,
        database=str(config.storage.database),
        classifier=spec.classifier,
        config_hash=spec.label_spec.hash,
        min_text_length=config.backlog.min_text_length,
        checkpoint_rows=config.checkpoint.rows,
        checkpoint_seconds=config.checkpoint.seconds,
        retry=spec.config.retry.to_json(),
        notify=spec.config.notify.to_json(),
        cluster=spec.config.cluster.to_json(),
        array_size=spec.array_size,
        shards=frozen,
        commit=git_commit(),
        replaces=selection.replaces,
        only_labelled_by=selection.only_labeled_by or "",
        folder=str(config.storage.run_root.resolve() / run_id),
        trust_group=config.storage.trust_group,
        sample=sample,
        ask_each_text_once=config.backlog.ask_each_text_once,
        after=selection.after,
        canary=selection.canary is not None,
        layout=config.storage.layout,
        session=config.storage.limits.to_json(),
        needs_numpy=load(config.classifier.kind).needs_numpy,
    )


def next_stamp(root: Path, now: datetime) -> str:
    """Return the time with which the new run's id begins: now, or later than that of other runs.

    The ids give the order in which runs were created, also after a clock was set back.
    """
    stamps = [now]
    for folder in all_runs(root):
        with contextlib.suppress(ValueError, OverflowError):
            newest = datetime.strptime(folder.name.split("-")[0], STAMP)
            stamps.append(newest + timedelta(seconds=1))
    return f"{max(stamps):{STAMP}}"
