"""Take a run back from the engine that was to label it, so that its posts are free again."""

from hpc.database.register_runs import delete_from_history
from hpc.display.next_step import command
from hpc.locks import run_lock
from hpc.locks.locked_run import hold_run
from hpc.run import run_folder
from hpc.run.model.run import Run, Say
from hpc.run.outputs import verify_outputs
from pipeline.errors import RunError
from pipeline.run_files.checkpoints import parts
from pipeline.text import counted


def take_back(run: Run, say: Say) -> None:
    """Move a run aside of which no answer was adopted.

    Raises:
        RunError: answers were adopted, which must not be lost, or an output cannot be read now.
        BusyError: another process works on the run, or is planning under its run root.
    """
    root = run.folder.parent
    with (
        run_lock.locked(root, f"another submit is planning under {root}: wait for it"),
        hold_run(run) as locked,
    ):
        checks = verify_outputs(locked.run)
        kept = sum(check.verified or bool(check.unreadable) for check in checks)
        if kept or parts.holds_answers(run.folder / "work"):
            raise RunError(
                f"answers to run {run.run_id} were adopted ({kept:,} of "
                f"{counted(len(checks), 'shard')} published), so it stays as it is. To give up "
                f"the posts without an answer: {command('adopt', run, '--missing not_labeled')}. "
                "Later, hpc submit --plan-only --retry-unlabelable not_labeled takes these posts"
            )
        delete_from_history(locked.run)  # first: the run would hold the watermark back
        moved = run_folder.move_to_set_aside(run.folder)
    say(f"nothing of run {run.run_id} was adopted, so its posts are free again")
    say(f"moved to {moved}: stop the engine that works on it")
