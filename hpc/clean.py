"""Run `hpc clean`: put each run that is complete and gathered into one archive file."""

import argparse

from hpc.api.archiving import clean, restore
from hpc.api.call.caller_screen import CallerScreen
from hpc.api.call.place import Place
from hpc.cleaning.describe import plan_document
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_place
from hpc.display.blocks import Line
from hpc.display.console import Printer
from pipeline.errors import InputError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc clean`."""
    parser.add_argument(
        "runs", nargs="*", metavar="RUN",
        help="a run's id, the beginning of it, a name (its newest run) or a folder (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--older-than", type=cli.above_zero, metavar="DAYS",
        help="only runs that were planned more than DAYS days ago",
    )  # fmt: skip
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--yes",
        action="store_true",
        help="archive the runs, instead of only showing what would change",
    )
    how.add_argument("--dry-run", action="store_true", help="only show what would change (default)")
    how.add_argument(
        "--restore", action="store_true", help="unpack the archives of these runs again"
    )
    cli.root_arguments(parser)


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Show what would go, archive runs, or unpack them."""
    place = chosen_place(options)
    if options.restore:
        return _restore(options, place, printer)
    result = clean(
        *options.runs,
        archive=options.yes,
        older_than_days=options.older_than,
        at=place,
        say=CallerScreen(printer, with_reports=False) if options.json else printer,
    )
    if result.to_archive and not result.is_done:
        them = "it" if len(result.to_archive) == 1 else "them"
        printer.show(Line(f"nothing was changed. To archive {them}, add --yes"))
    plans = plan_document(result.plans, result.failures)
    return result.exit_code, {"run_root": str(result.run_root), "done": result.is_done, **plans}


def _restore(options: argparse.Namespace, place: Place, printer: Printer) -> Outcome:
    if not options.runs:
        raise InputError("--restore: name the runs to unpack. To list them: hpc ls")
    result = restore(*options.runs, at=place, say=printer)
    restored = [
        {"run_id": run.run_id, "run_dir": str(run.folder), "files": result.files[run.run_id]}
        for run in result.runs
    ]
    return 0, {"run_root": str(result.run_root), "done": True, "restored": restored}


VERB = Verb(
    name="clean",
    example="hpc clean --older-than 30",
    arguments=arguments,
    act=act,
    if_interrupted="no file is lost. To continue, run the same command",
)

if __name__ == "__main__":
    cli.main(VERB)
