"""Adopt the answers of another engine: check all of them, then publish complete shards.

Nothing is written before every row of every file is checked. Answers to shards that are not
complete are kept in the run's work folder, like those of a task, so that later files complete them.
Whatever ends an adoption, the same command continues it.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from hpc.adoption import adoption_record
from hpc.adoption.adoption_number import next_adoption_number
from hpc.adoption.adoption_record import AdoptedFile, Adoption
from hpc.adoption.answer_files import AnswerFolder, find_answer_files, reject_changed
from hpc.adoption.kept_answers import find_kept
from hpc.adoption.match_answers import AnswerMatch, Matched
from hpc.adoption.shard_answers import ShardAnswers
from hpc.adoption.stage_answers import StagedFiles, stage_answers
from hpc.locks import run_lock
from hpc.locks.locked_run import LockedRun
from hpc.reconcile.checks.trust import check_run
from hpc.run.model.run import Run
from hpc.run.outputs import verify_outputs
from pipeline import __version__
from pipeline.backlog import select
from pipeline.classifiers.external import ExternalOptions
from pipeline.classifiers.frozen_classifier import TYPE
from pipeline.errors import InputError, RunError
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.run_files.manifest import shard_path
from pipeline.run_files.output import OutputCheck
from pipeline.system import ownership

# Of the folder for what is staged. It holds a copy of the answers, which a login node's /tmp may
# have no room for.
_SCRATCH = ".tmp-adopt-"


@dataclass(frozen=True, kw_only=True, slots=True)
class AdoptRequest:
    """What to adopt."""

    folder: Path
    """The folder with the engine's files, or one file."""
    engine: str = ""
    """What gave the answers, with its version; '' for what the last
    adoption that named it said, or else the configuration."""
    missing: str = ""
    """The reason to give posts without an answer; '' to wait for their answers. Answers that come
    later replace it where it is published."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Adopted:
    """What an adoption found, and did or would do."""

    found: AnswerFolder
    staged: StagedFiles
    matched: Matched
    engine: str
    """What gave the answers; '' if nobody said it."""
    engine_from: int | None = None
    """The number of the earlier adoption that named the engine; None if this one or the
    configuration names it, or nobody does."""
    missing: str
    """The reason that posts without an answer get; '' if they wait for one."""
    number: int | None = None
    """The number of the adoption; None if nothing was written."""
    complete: tuple[int, ...]
    """The shards that are published by it."""
    waiting: int
    """How many posts wait for an answer, in shards that are not complete."""
    given_up: int
    """How many posts get the reason for a missing answer."""


def options_of(run: Run) -> ExternalOptions:
    """Return the options of a run that another engine labels.

    Raises:
        InputError: tasks label it, or another version wrote the options.
    """
    values = run.manifest.classifier
    if not run.manifest.is_labeled_elsewhere:
        raise InputError(
            f"run {run.run_id} is labeled by tasks (classifier.type: {values.get(TYPE)}), and "
            "adopts nothing: name a run that hpc submit --plan-only made"
        )
    own = {key: value for key, value in values.items() if key != TYPE}
    return ExternalOptions.from_manifest(own, source=str(run.folder))


def preview_adoption(run: Run, request: AdoptRequest, progress: Progress = NO_PROGRESS) -> Adopted:
    """Check the answers, and return what `adopt_run` would do. Nothing is written.

    The arguments and errors are those of `adopt_run`.
    """
    with _check_answers(run, request, progress, None) as (adopted, _, _):
        return adopted


def adopt_run(
    locked: LockedRun, request: AdoptRequest, progress: Progress = NO_PROGRESS
) -> Adopted:
    """Check the answers, and publish the shards that they complete.

    Args:
        locked: the run.
        request: what to adopt.
        progress: shows how far it is.

    Raises:
        InputError: the files or their rows are wrong, or the run is no run to adopt into. Nothing
            was written.
        RunError: a file of the run is damaged or cannot be read now, or the run's lock was lost.
        OSError: the disk is full. What is published stays, and the same command continues.
    """
    run = locked.run
    for left_behind in run.folder.glob(f"{_SCRATCH}*"):  # by one that was killed
        shutil.rmtree(left_behind, ignore_errors=True)
    with _check_answers(run, request, progress, run.folder) as (adopted, shards, checks):
        if not (adopted.complete or adopted.matched.fresh):
            return adopted
        run_lock.check_lock(run, locked.lock)
        number = next_adoption_number(run, checks)
        record = _record(number, request, adopted, shards.adopted_at)
        adoption_record.write(run.folder, record)
        total = len(adopted.matched.missing)
        with progress.step("publishing", total=total, unit="shard") as step:
            for done, index in enumerate(adopted.matched.missing, 1):
                run_lock.check_lock(run, locked.lock)
                if index in adopted.complete:
                    shards.publish(index, number, request.missing)
                else:
                    shards.keep(index, number)
                step.advance(done)
    return replace(adopted, number=number)


@contextmanager
def _check_answers(
    run: Run, request: AdoptRequest, progress: Progress, beside: Path | None
) -> Iterator[tuple[Adopted, ShardAnswers, tuple[OutputCheck, ...]]]:
    """Check the answers; yield what follows for the run, its shards' answers and its outputs.

    They are staged in the folder `beside`, or in the system's where nothing may be written, unless
    the run's configuration names one.
    """
    options = options_of(run)
    check_run(run)
    _reject_missing_shards(run)
    with progress.step("reading the answers"):
        found = find_answer_files(request.folder)
    former = _last_naming_engine(run)
    checks = _verify_readable_outputs(run)
    published = frozenset(index for index, check in enumerate(checks) if check.verified)
    kept = find_kept(run, tuple(label.column for label in options.labels), published)
    with (
        tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=beside) as folder,
        select.staging(Path(folder), run.limits) as connection,
    ):
        with progress.step("checking the answers"):
            staged = stage_answers(connection, found.files, options.labels)
            reject_changed(found.files)
            match = AnswerMatch(connection, run, options.labels, published, request.missing)
            matched = match.match(found.files, kept.tables())
        missing = matched.missing
        complete = tuple(index for index, count in missing.items() if not count or request.missing)
        adopted = Adopted(
            found=found,
            staged=staged,
            matched=matched,
            engine=request.engine or (former.engine if former else options.engine) or "",
            engine_from=former.number if former and not request.engine else None,
            missing=request.missing,
            complete=complete,
            waiting=sum(count for index, count in missing.items() if index not in complete),
            given_up=sum(missing[index] for index in complete),
        )
        now = datetime.now(UTC).replace(tzinfo=None)
        yield (
            adopted,
            ShardAnswers(connection, options.model, kept, now, reopened=matched.reopened),
            checks,
        )


def _last_naming_engine(run: Run) -> Adoption | None:
    """Return the last adoption of a run that named an engine; None if none did.

    Posts that get a reason, and answers that were kept, are published by a later adoption, whose
    number leads to the engine.
    """
    named = [adoption for adoption in adoption_record.read_all(run.folder) if adoption.engine]
    return named[-1] if named else None


def _reject_missing_shards(run: Run) -> None:
    for shard in run.manifest.shards:
        path = shard_path(run.folder, shard.index)
        if not path.is_file():
            raise InputError(
                f"{path} is not there, so nothing was adopted: restore the file. If the run is "
                "archived, it is complete"
            )


def _verify_readable_outputs(run: Run) -> tuple[OutputCheck, ...]:
    """Return what the output of each shard shows.

    Raises:
        RunError: an output cannot be read now, so nobody knows whether it is there.
    """
    checks = verify_outputs(run)
    for index, check in enumerate(checks):
        if check.unreadable:
            raise RunError(
                f"the output of shard {index} cannot be read now, so nothing was adopted: "
                f"{check.unreadable}"
            )
    return checks


def _record(number: int, request: AdoptRequest, adopted: Adopted, adopted_at: datetime) -> Adoption:
    return Adoption(
        format=adoption_record.FORMAT,
        number=number,
        adopted_at=adopted_at.isoformat(timespec="milliseconds"),
        adopted_by=ownership.user_name(os.getuid()),
        version=__version__,
        engine=adopted.engine,
        files=tuple(
            AdoptedFile(path=str(file.path), sha256=file.sha256, bytes=file.size, rows=rows)
            for file, rows in zip(adopted.found.files, adopted.staged.rows, strict=True)
        ),
        answers=adopted.matched.fresh,
        missing=request.missing,
    )
