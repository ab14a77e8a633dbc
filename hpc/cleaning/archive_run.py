"""Archive a run, or finish what a killed cleaning had begun, and unpack it again."""

from collections.abc import Mapping

from hpc.cleaning.plan_cleaning import describe_ungathered
from hpc.cleaning.write_archive import (
    list_content,
    remove_archived,
    unpack_archive,
    write_archive,
)
from hpc.database.run_database import database_of
from hpc.display.next_step import command
from hpc.executors.base import Executor
from hpc.locks.run_lock import LOCK, check_lock, lock_run
from hpc.reconcile.gathering.pack import pack_gathered
from hpc.reconcile.look import look
from hpc.run.model.run import Run
from hpc.run.submissions import read_submissions
from hpc.traces.packed_tasks import packed_shards, read_packed_tasks, without_packed
from pipeline.archive import is_archived
from pipeline.database import duckdb_file, history
from pipeline.errors import BusyError, RunError
from pipeline.run_files.manifest import output_path
from pipeline.text import counted


def archive_run(run: Run, executor: Executor) -> None:
    """Put all files of a run but its manifest into one archive.

    Args:
        run: a run that is complete and gathered.
        executor: what ran its tasks.

    Raises:
        BusyError: another process works on the run, or its tasks ended too recently.
        RunError: the run is not complete and gathered, or its archive could not be verified. Its
            files are all there.
        OSError: a file cannot be read or removed, or the disk is full. Run the command again.
    """
    with lock_run(run) as lock:
        if not is_archived(run.folder):
            if why := describe_ungathered(run):
                raise RunError(why)
            _pack_logs(run, executor)
            check_lock(run, lock)
            content = list_content(run.folder)
            write_archive(run.folder, content, _gathered_digests(run))
        check_lock(run, lock)
        stays = remove_archived(run.folder, list_content(run.folder))
        # Whoever waits for the lock finds that its file is gone, and takes a new one.
        (run.folder / LOCK).unlink(missing_ok=True)
    if stays:
        more = f" and {counted(len(stays) - 1, 'more file')}" if stays[1:] else ""
        raise RunError(
            f"{run.folder / stays[0]}{more} came after the archive or is not as it holds it, and "
            f"stays. To have one folder again: {command('clean', run, '--restore')}"
        )


def unpack_run(run: Run) -> int:
    """Write the files of an archived run into its folder again; return how many.

    Raises:
        RunError: the run is not archived, or its archive is damaged.
        BusyError: another process works on the run.
        OSError: the disk is full, or a file cannot be written; the archive stays.
    """
    if not is_archived(run.folder):
        raise RunError(f"run {run.run_id} is not archived")
    with lock_run(run):
        return unpack_archive(run.folder)


def _pack_logs(run: Run, executor: Executor) -> None:
    """Pack the logs of tasks, which shows that each of them has ended.

    Raises:
        BusyError: a task may be alive, or its last files may still show up.
    """
    status = look(run, executor, include_done=True, lock_is_ours=True)
    packed = pack_gathered(status, executor)
    if packed.problems:
        raise RunError(packed.problems[0])
    known, _ = read_packed_tasks(run.folder)
    released = [each for each in read_submissions(run) if each.released_at]
    left = sum(len(each.plan.indices) for each in without_packed(released, packed_shards(known)))
    if left:
        trouble = f" ({status.observation.trouble.strip()})" if status.observation.trouble else ""
        raise BusyError(
            f"{counted(left, 'task')} ended less than {run.cluster.grace_seconds} s ago, or may "
            f"be alive{trouble}: run the same command again later"
        )


def _gathered_digests(run: Run) -> Mapping[str, str]:
    """Return the SHA-256 of each output as it was when it was gathered, as far as recorded."""
    with duckdb_file.open_database(database_of(run), read_only=True) as labels:
        known = history.gathered_shards(labels, run.run_id)
    return {
        output_path(run.folder, index).relative_to(run.folder).as_posix(): shard.proof.sha256
        for index, shard in known.items()
        if shard.proof and shard.proof.sha256
    }
