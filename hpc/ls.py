"""Run `hpc ls`: the runs under the run root, the newest last."""

import argparse

from hpc.api.listing import ls
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_place
from hpc.display.console import Printer
from hpc.overview.describe import rows_document

MOST_ROWS = 30


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc ls`."""
    parser.add_argument(
        "names", nargs="*", metavar="NAME", type=cli.not_empty,
        help="list only runs of this name, or whose ids begin with it (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--all", action="store_true", help=f"list all runs, not only the newest {MOST_ROWS}"
    )
    cli.root_arguments(parser)


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """List runs. Older ones are looked at only if they are shown."""
    most = None if options.all or options.json else MOST_ROWS
    listed = ls(*options.names, most=most, at=chosen_place(options), say=printer)
    if not options.json:
        printer.show(*listed.describe())
    return 0, {"run_root": str(listed.run_root), "runs": rows_document(listed.rows)}


VERB = Verb(
    name="ls",
    example="hpc ls valence",
    arguments=arguments,
    act=act,
    if_interrupted="nothing was changed",
)

if __name__ == "__main__":
    cli.main(VERB)
