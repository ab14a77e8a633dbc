"""Run `hpc status`: every shard in one state with one cause."""

import argparse
import time

from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_run, report_left_out
from hpc.database.gather_outputs import is_gathered
from hpc.display.blocks import Block
from hpc.display.console import Printer
from hpc.display.run_summary import show_status
from hpc.display.status_table import describe_status, document
from hpc.executors.factory import executor_of
from hpc.planning import late_posts
from hpc.reconcile.look import look
from hpc.run.model import Run
from hpc.run.run_folder import load
from hpc.run.run_state import RunStatus


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc status`."""
    cli.run_arguments(parser)
    parser.add_argument(
        "--watch", action="store_true", help="keep the table up to date until the run ends"
    )


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Show a run, once or until it ends."""
    run = chosen_run(options)
    report_left_out(run.folder.parent, printer)
    status = _watch(run, options, printer) if options.watch else look(run, executor_of(run))
    late = late_posts.recall(run.folder.parent, run.manifest.name)
    if not options.json:
        show_status(status, printer, is_gathered=is_gathered(run, status.observation))
        for line in late_posts.describe_late(late):
            printer(line)
        return status.exit_code, {}
    return status.exit_code, {**document(status), **late_posts.late_document(late)}


def _watch(run: Run, options: argparse.Namespace, printer: Printer) -> RunStatus:
    """Look until the run ends, and return the last look; show all others."""
    executor, seconds = executor_of(run), run.cluster.poll_seconds
    if options.json:
        while (status := look(load(run.folder), executor)).is_under_way:
            time.sleep(seconds)
        return status

    def look_and_describe() -> tuple[RunStatus, list[Block], bool]:
        # Somebody may have corrected the run meanwhile.
        status = look(load(run.folder), executor)
        return status, describe_status(status), status.is_under_way

    return printer.watch(look_and_describe, seconds)


VERB = Verb(name="status", example="hpc status --watch", arguments=arguments, act=act)

if __name__ == "__main__":
    cli.main(VERB)
