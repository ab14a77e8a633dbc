"""Run `hpc ls`: the runs under the run root, the newest last."""

import argparse
from datetime import UTC, datetime

from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_place
from hpc.display.blocks import Line, Tone
from hpc.display.console import Printer
from hpc.overview.describe import describe_older, describe_rows, rows_document
from hpc.overview.list_runs import list_folders, list_runs
from hpc.overview.run_row import is_meant
from pipeline.errors import InputError

MOST_ROWS = 30


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc ls`."""
    parser.add_argument(
        "names", nargs="*", metavar="NAME", type=cli.not_empty,
        help="only runs of this name, or whose ids begin with it (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--all", action="store_true", help=f"all runs, not only the newest {MOST_ROWS}"
    )
    cli.root_arguments(parser)


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """List runs. Older ones are looked at only if they are shown."""
    root = chosen_place(options).find_run_root()
    every = list_folders(root)
    chosen = {
        name: kind
        for name, kind in every.items()
        if not options.names or any(is_meant(name, wanted) for wanted in options.names)
    }
    if options.names and not chosen:
        raise InputError(f"there is no run {' or '.join(options.names)} under {root}")
    older = 0 if options.all or options.json else max(0, len(chosen) - MOST_ROWS)
    shown = dict(list(chosen.items())[older:])
    with printer.awaiting("looking at the runs"):
        rows = list_runs(root, shown)
    if options.json:
        return 0, {"run_root": str(root), "runs": rows_document(rows)}
    if not rows:
        printer(f"there is no run under {root}. To create one: hpc submit --config FILE")
        return 0, {}
    if older:
        printer.show(Line(describe_older(older), Tone.FAINT))
    printer.show(*describe_rows(rows, datetime.now(UTC)))
    return 0, {}


VERB = Verb(
    name="ls",
    example="hpc ls valence",
    arguments=arguments,
    act=act,
    if_interrupted="nothing was changed",
)

if __name__ == "__main__":
    cli.main(VERB)
