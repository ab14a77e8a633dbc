"""Run `hpc status`: every shard in one state with one cause."""

import argparse

from hpc.api.run_status import efficiency, status
from hpc.api.supervision import watch
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_run
from hpc.display.console import Printer
from hpc.display.efficiency.describe import describe_efficiency, efficiency_document
from hpc.display.next_step import command
from hpc.display.run.run_summary import show_status
from hpc.display.run.status_table import document
from hpc.overview import other_runs
from hpc.planning import late_posts
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
    result = watch(run, say=printer) if options.watch else status(run, say=printer)
    measured = efficiency(run) if options.efficiency else None
    archived = is_archived(run.folder)
    others = other_runs.find_other_runs(result.look) if options.run is None else None
    if not options.json:
        show_status(result.look, printer, is_gathered=result.is_gathered)
        for line in late_posts.describe_late(result.late_posts):
            printer(line)
        if archived:
            unpack = command("clean", run, "--restore")
            printer(f"the run is archived; to unpack its files: {unpack}")
        if measured:
            printer.show(*describe_efficiency(measured))
        for line in other_runs.describe_other_runs(others or (), run.folder.parent):
            printer(line)
        return result.exit_code, {}
    values = {
        **document(result.look),
        **late_posts.late_document(result.late_posts),
        **other_runs.other_runs_document(others),
    }
    values["archived"] = archived
    if measured:
        values["efficiency"] = efficiency_document(measured)
    return result.exit_code, values


VERB = Verb(
    name="status",
    example="hpc status --watch",
    arguments=arguments,
    act=act,
    if_interrupted="the run itself is not affected",
)

if __name__ == "__main__":
    cli.main(VERB)
