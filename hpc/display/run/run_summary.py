"""Show a run at the end of a verb: its state, its labels, the next command."""

from hpc.display import preview
from hpc.display.blocks import Line
from hpc.display.next_step import describe_next_step
from hpc.display.run.status_table import describe_status
from hpc.display.screen import Screen
from hpc.run.run_state import RunState, RunStatus


def show_status(status: RunStatus, printer: Screen, *, is_gathered: bool) -> None:
    """Show a run's state and the next command."""
    printer.show(*describe_status(status), Line(""))
    printer(describe_next_step(status, is_gathered=is_gathered))


def show_result(status: RunStatus, printer: Screen) -> None:
    """Show how a run ended, its labels if there are new ones, and the next command if any.

    Cron mails what a round prints, so a round without news shows no labels again.
    """
    manifest = status.run.manifest
    if status.awaits_database:
        show_status(status, printer, is_gathered=False)
        return
    if status.was_complete_before:  # as its supervisor has said
        return
    labels = preview.describe_labels(manifest.database, manifest.name)
    printer.show(*describe_status(status), *([] if status.adds_nothing else labels))
    is_complete = status.state is RunState.COMPLETE
    if not is_complete or status.lacks_labels:
        # A run that is complete has been gathered by whoever shows its result.
        printer(f"\n{describe_next_step(status, is_gathered=is_complete)}")
