"""Run `hpc status`: every shard in one state with one cause."""

import argparse
import time

from hpc.api.run_status import describe_look, status
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_run, report_left_out
from hpc.display.blocks import Block
from hpc.display.console import Printer
from hpc.display.efficiency.describe import describe_efficiency, efficiency_document
from hpc.display.run_summary import show_status
from hpc.display.status_table import describe_status, document
from hpc.efficiency.run_efficiency import run_efficiency
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
        seen = describe_look(_watch(run, options, printer))
    else:
        seen = status(run, say=printer)
    found = None
    if options.efficiency:
        # This asks about the shards that are done, too.
        found = run_efficiency(look(load(run.folder), executor_of(run), include_done=True))
    if not options.json:
        show_status(seen.look, printer, is_gathered=seen.is_gathered)
        for line in late_posts.describe_late(seen.late_posts):
            printer(line)
        if found:
            printer.show(*describe_efficiency(found))
        return seen.exit_code, {}
    values = {**document(seen.look), **late_posts.late_document(seen.late_posts)}
    if found:
        values["efficiency"] = efficiency_document(found)
    return seen.exit_code, values


def _watch(run: Run, options: argparse.Namespace, printer: Printer) -> RunStatus:
    """Look until the run ends, and return the last look; show all others."""
    executor, seconds = executor_of(run), run.cluster.poll_seconds
    if options.json:
        while (seen := look(load(run.folder), executor)).is_under_way:
            time.sleep(seconds)
        return seen

    def look_and_describe() -> tuple[RunStatus, list[Block], bool]:
        # Somebody may have corrected the run meanwhile.
        seen = look(load(run.folder), executor)
        return seen, describe_status(seen), seen.is_under_way

    return printer.watch(look_and_describe, seconds)


VERB = Verb(name="status", example="hpc status --watch", arguments=arguments, act=act)

if __name__ == "__main__":
    cli.main(VERB)
