"""Run `hpc status`: every shard in one state with one cause."""

import argparse
import time

from hpc.api.run_status import describe_look, status
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_run, report_left_out
from hpc.display.console import Printer
from hpc.display.efficiency.describe import describe_efficiency, efficiency_document
from hpc.display.interruption import saying
from hpc.display.next_step import command, describe_next_step
from hpc.display.run_summary import show_status
from hpc.display.status_table import document
from hpc.efficiency.run_efficiency import run_efficiency
from hpc.executors.factory import executor_of
from hpc.overview import other_runs
from hpc.planning import late_posts
from hpc.reconcile.look import look
from hpc.reconcile.polling.look_pace import LookPace
from hpc.run.model import Run
from hpc.run.run_folder import load
from hpc.run.run_state import RunStatus
from hpc.run.run_view import Sight
from pipeline.archive import is_archived


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc status`."""
    cli.run_arguments(parser)
    parser.add_argument(
        "--watch", action="store_true", help="keep the table up to date until the run ends"
    )
    parser.add_argument(
        "--efficiency",
        action="store_true",
        help="also compare what the tasks requested with what they used, for the next run",
    )


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Show a run, once or until it ends."""
    run = chosen_run(options)
    if options.watch:
        report_left_out(run.folder.parent, printer)
        seen = describe_look(_watch(run, printer))
    else:
        seen = status(run, say=printer)
    found = None
    if options.efficiency:
        # This asks about the shards that are done, too.
        executor = executor_of(run)
        every_attempt = look(load(run.folder), executor, include_done=True)
        found = run_efficiency(every_attempt, are_reserved=executor.reserves_resources)
    archived = is_archived(run.folder)
    others = other_runs.find_other_runs(seen.look) if options.run is None else None
    if not options.json:
        show_status(seen.look, printer, is_gathered=seen.is_gathered)
        for line in late_posts.describe_late(seen.late_posts):
            printer(line)
        if archived:
            unpack = command("clean", run, "--restore")
            printer(f"the run is archived; to unpack its files: {unpack}")
        if found:
            printer.show(*describe_efficiency(found))
        for line in other_runs.describe_other_runs(others or (), run.folder.parent):
            printer(line)
        return seen.exit_code, {}
    values = {
        **document(seen.look),
        **late_posts.late_document(seen.late_posts),
        **other_runs.other_runs_document(others),
    }
    values["archived"] = archived
    if found:
        values["efficiency"] = efficiency_document(found)
    return seen.exit_code, values


def _watch(run: Run, printer: Printer) -> RunStatus:
    """Look until the run ends, and return the last look; show all others."""
    executor, pace = executor_of(run), LookPace(run.cluster.poll_seconds)
    with (
        saying(f"stopped watching; the run continues\nnext: {command('status', run, '--watch')}"),
        printer.watching("Ctrl-C quits; the run continues.") as view,
    ):
        # Loaded anew: somebody may have corrected the run meanwhile.
        while True:
            began = time.monotonic()
            seen = look(load(run.folder), executor)
            if not seen.is_under_way:
                return seen
            if not seen.observation.answered:
                pace.settle()
            view.show(Sight(status=seen, next_step=describe_next_step(seen, is_gathered=False)))
            view.wait(pace.next_pause_s(time.monotonic() - began))


VERB = Verb(
    name="status",
    example="hpc status --watch",
    arguments=arguments,
    act=act,
    if_interrupted="the run itself is not affected",
)

if __name__ == "__main__":
    cli.main(VERB)
