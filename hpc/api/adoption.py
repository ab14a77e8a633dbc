"""Take the labels that another engine gave to a run."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hpc.adoption.adopt_run import Adopted, AdoptRequest, adopt_run, preview_adoption
from hpc.adoption.describe_adopted import describe_adopted
from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.caller_screen import screen_of
from hpc.api.call.choose_run import RunChoice, find_run
from hpc.api.call.place import HERE, PathText, Place
from hpc.api.call.surroundings import library_call
from hpc.database.gather_outputs import Gathered
from hpc.display.next_step import command, describe_next_step
from hpc.display.screen import Screen
from hpc.executors.factory import executor_of
from hpc.locks.locked_run import hold_run
from hpc.reconcile.gathering.gather import gather_run
from hpc.run.exit_codes import FAILED, UNDER_WAY
from hpc.run.model.run import Run, Say
from pipeline.database.duckdb_file import HeldDatabaseError
from pipeline.run_files import manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class AdoptSettings:
    """How answers are adopted."""

    engine: str = ""
    """What gave the answers, with its version; '' for what the last
    adoption that named it said, or else the configuration."""
    missing: str = ""
    """The reason to give posts without an answer; '' to wait for their answers. Where an earlier
    call gave it, the answers of this one replace it."""
    dry_run: bool = False
    """Check everything, and write nothing."""


USUAL = AdoptSettings()
"""The settings of `hpc adopt` without options."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdoptResult:
    """What was adopted."""

    run: Run = field(repr=False)
    """The run."""
    adoption: int | None
    """The number of the record in the run's folder `adoptions`; None if nothing was written."""
    answers: int
    """How many answers were new."""
    published: tuple[int, ...]
    """The shards that were published, or would be."""
    waiting: int
    """How many posts have no answer yet."""
    exit_code: int
    """What `hpc adopt` exits with: 0 done, 1 a person is needed, 3 posts wait for an answer."""
    found: Adopted = field(repr=False)
    """All that was found in the files."""
    gathered: Gathered | None = field(default=None, repr=False)
    """What came into the database; None if nothing was gathered."""


@check_argument_types
def adopt(
    folder: PathText,
    run: RunChoice = None,
    *,
    settings: AdoptSettings = USUAL,
    at: Place = HERE,
    say: Say | None = None,
) -> AdoptResult:
    """Check the answers of another engine, publish the shards that they complete, and gather them.

    All rows of all files are checked before anything is written. It is safe to repeat.

    Args:
        folder: the folder with the engine's Parquet or JSON Lines files, or one of them.
        run: a run, a result about one, a run's id, name or folder; None: the run in whose folder
            `folder` is, or else the newest run.
        settings: which engine it was, and what becomes of posts without an answer.
        at: where to look for runs, and which database to use instead of the run's own.
        say: receives each message.

    Raises:
        InputError: there is no such run, or a file or row is wrong. Nothing was written.
        BusyError: another process works on the run.
        RunError: a file of the run cannot be read, or the database cannot be used.
        OSError: the disk is full. The same command continues.
    """
    screen = screen_of(say)
    place = Path(folder).expanduser()
    request = AdoptRequest(folder=place, engine=settings.engine, missing=settings.missing)
    with library_call():
        chosen = find_run(run if run is not None else _run_around(place), at=at)
        if settings.dry_run:
            adopted = preview_adoption(chosen, request, screen)
        else:
            with hold_run(chosen) as locked:
                adopted = adopt_run(locked, request, screen)
        shards = len(chosen.manifest.shards)
        for line in describe_adopted(adopted, shards, is_dry_run=settings.dry_run):
            screen(line)
        code, gathered = UNDER_WAY if adopted.waiting else 0, None
        if not settings.dry_run:
            failure, gathered = _gather(chosen, screen)
            code = failure or code
    return AdoptResult(
        run=chosen,
        adoption=adopted.number,
        answers=adopted.matched.fresh,
        published=adopted.complete,
        waiting=adopted.waiting,
        exit_code=code,
        found=adopted,
        gathered=gathered,
    )


def _run_around(folder: Path) -> Path | None:
    """Return the folder of the run that a folder is in; None if it is in none."""
    for parent in folder.absolute().parents:
        with suppress(OSError):
            if (parent / manifest.FILE_NAME).is_file():
                return parent
    return None


def _gather(run: Run, screen: Screen) -> tuple[int, Gathered | None]:
    """Gather what is published; return the exit code of that, 0 if all is well."""
    try:
        gathered, status = gather_run(run, executor_of(run), screen, screen)
    except HeldDatabaseError as error:
        screen(f"{error.where}, so the labels are not in it yet. Close it there, and then type:")
        screen(command("gather", run))
        return FAILED, None
    is_whole = not (gathered.rejected or gathered.unreadable)
    screen(describe_next_step(status, is_gathered=is_whole))
    return 0 if is_whole and not status.lacks_labels else FAILED, gathered
