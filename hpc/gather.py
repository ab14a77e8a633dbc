"""Copy finished labels into the database: `hpc gather`."""

import argparse

from hpc.api.gathering import gather
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_place
from hpc.display import preview
from hpc.display.console import Printer


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc gather`."""
    cli.run_arguments(parser)
    parser.add_argument(
        "--rebuild", action="store_true", help="build the whole database again from the run folders"
    )


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Gather, show a preview of the labels, and return the counts."""
    gathered = gather(
        options.run,
        at=chosen_place(options),
        rebuild=options.rebuild,
        say=printer,
    )
    if not options.json:
        of_run = gathered.run.manifest
        if options.rebuild:
            printer.show(*preview.describe_tables(of_run.database))
        else:
            printer.show(*preview.describe_labels(of_run.database, of_run.name))
    return gathered.exit_code, {
        "rows_before": gathered.rows_before,
        "rows_added": gathered.rows_added,
        "rows_after": gathered.rows_after,
        "unlabelable": gathered.unlabelable,
        "already_present": gathered.already_present,
        "rejected_outputs": list(gathered.rejected_outputs),
        "unreadable_files": list(gathered.unreadable_files),
    }


VERB = Verb(
    name="gather",
    example="hpc gather",
    arguments=arguments,
    act=act,
    if_interrupted="the database keeps what it has. To gather the rest, run the same command",
)

if __name__ == "__main__":
    cli.main(VERB)
