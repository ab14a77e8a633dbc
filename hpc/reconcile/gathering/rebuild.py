"""Build the whole database again from the run folders, which are the truth."""

from dataclasses import replace
from pathlib import Path

from hpc.database import gather_outputs, replace_database
from hpc.database.gather_outputs import Gathered, Target
from hpc.database.replace_database import OldDatabase
from hpc.database.run_database import database_of
from hpc.display.gathered import describe_gathered, describe_gone_runs, describe_left_out
from hpc.executors.factory import executor_of
from hpc.locks import run_lock
from hpc.reconcile.checks.trust import check_run
from hpc.reconcile.look import look
from hpc.run import run_folder
from hpc.run.model.run import Run, Say
from hpc.runs import find_runs
from pipeline import archive
from pipeline.database import duckdb_file
from pipeline.database.stores import parts
from pipeline.errors import InputError, RunError
from pipeline.progress import NO_PROGRESS, Progress
from pipeline.run_files import manifest

_GONE = "its folder is gone. Restore it, or move the database away"


def rebuild(run: Run, say: Say, progress: Progress = NO_PROGRESS) -> Gathered:
    """Gather all runs beside this one that share its database, oldest first, into a new file.

    The new file replaces the database. The old one is kept under another name, together with its
    log, and need not be usable. A run or an output that cannot be read is named, and all others
    are gathered. A usable database with labels of such runs or outputs is not replaced.

    Args:
        run: one of these runs.
        say: shows a message.
        progress: shows how many runs and outputs were gathered.

    Raises:
        RunError: the old database has rows that would be lost.
        BusyError: a submit or another rebuild is running under the run root, or another process
            has the database open.
    """
    database = database_of(run)
    duckdb_file.check_place(database)
    database = database.resolve()  # what a link leads to is replaced, not the link
    # `run` may have been given another database than its manifest names.
    configured = run_folder.load(run.folder).manifest.database
    root = run.folder.parent
    busy = f"another submit or rebuild is running under {root}: wait for it"
    with run_lock.locked(root, busy):
        runs, unreadable = _load_runs(root, configured)
        old = replace_database.read_old(database)
        if isinstance(old, str):
            say(f"{old}\nits content is unknown, so the database is rebuilt from the run folders")
        if isinstance(old, OldDatabase):
            here = {each.run_id for each in runs}
            gone = dict.fromkeys(old.rows_by_run.keys() - here, _GONE)
            replace_database.refuse_to_lose_runs(database, old, {**gone, **unreadable})
        replace_database.remove_abandoned(database)
        fresh = replace_database.name_fresh(database)
        # With a usable database, a damaged output costs nothing: its labels are there.
        into = Target(database=fresh, renames_damaged=not isinstance(old, OldDatabase))
        try:
            with duckdb_file.open_database(fresh):  # so that nobody takes it for abandoned
                total = _gather_all(runs, into, say, progress, unreadable)
            if isinstance(old, OldDatabase):
                replace_database.refuse_to_lose_shards(database, old, fresh)
                replace_database.refuse_to_lose_samples(database, old, fresh)
            kept = replace_database.replace_with_files(
                database, fresh, is_usable=isinstance(old, OldDatabase)
            )
            if kept:
                say(f"the old database is kept as {kept}")
            here = {*(path.name for path in root.iterdir()), *(each.run_id for each in runs)}
            for line in describe_gone_runs(parts.find_files_of_gone_runs(database, here), root):
                say(line)
        finally:
            replace_database.remove(fresh)
    return total


def _load_runs(root: Path, database: str) -> tuple[list[Run], dict[str, str]]:
    """Return the runs that share a database, and by id why other runs cannot be read."""
    runs: list[Run] = []
    unreadable: dict[str, str] = {}
    for folder in sorted((*root.glob("[0-9]*/shards"), *root.glob(f"[0-9]*/{archive.FILE_NAME}"))):
        if not (folder.parent / manifest.FILE_NAME).exists():
            unreadable[folder.parent.name] = f"{folder.parent} has no {manifest.FILE_NAME}"
    for folder in find_runs.all_runs(root):
        try:
            run = run_folder.load(folder)
            if run.manifest.database == database:
                check_run(run)
        except (InputError, RunError, OSError) as error:
            unreadable[folder.name] = str(error)
            continue
        if run.manifest.database == database:
            runs.append(run)
    return sorted(runs, key=lambda run: run.age), unreadable


def _gather_all(
    runs: list[Run],
    into: Target,
    say: Say,
    progress: Progress,
    unreadable: dict[str, str],
) -> Gathered:
    # The layout is chosen anew: a name has that of its newest run.
    layouts = {run.manifest.name: run.manifest.layout for run in runs}
    done: list[Gathered] = []
    lines = [f"run {run_id} is left out: {why}" for run_id, why in unreadable.items()]
    for run in runs:
        try:
            now = look(run, executor_of(run), include_done=True)
        except (InputError, RunError, OSError) as error:
            lines.append(f"run {run.run_id} is left out: {error}")
            continue
        gathered = gather_outputs.gather(
            run,
            now.observation,
            now.judgements,
            into=replace(into, layout=layouts[run.manifest.name]),
            progress=progress,
        )
        done.append(gathered)
        by_people = run.manifest.is_coded_by_people
        say(f"run {run.run_id}: {describe_gathered(gathered, coded_by_people=by_people)}")
        lines += gathered.unreadable
    total = Gathered(
        rows_before=0,
        rows_added=sum(gathered.rows_added for gathered in done),
        rows_after=sum(gathered.rows_added for gathered in done),
        unlabelable=sum(gathered.unlabelable for gathered in done),
        already_present=sum(gathered.already_present for gathered in done),
        # Each gather names the runs that it cannot register.
        rejected=tuple(dict.fromkeys(line for gathered in done for line in gathered.rejected)),
        unreadable=tuple(dict.fromkeys(lines)),
        set_aside=sum(gathered.set_aside for gathered in done),
        shards=sum(gathered.shards for gathered in done),
    )
    for line in describe_left_out(total):
        say(line)
    if not done:
        raise RunError("no run could be gathered: the database stays as it is")
    return total
