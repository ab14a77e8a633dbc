"""Run `hpc clean`: put each run that is complete and gathered into one archive file."""

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hpc.cleaning.archive_run import archive_run, unpack_run
from hpc.cleaning.describe import describe_plan, plan_document
from hpc.cleaning.plan_cleaning import Decision, RunCleaning, plan_cleaning
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_place, report_left_out
from hpc.display.blocks import Line
from hpc.display.console import Printer
from hpc.display.system_error import describe_error
from hpc.executors.factory import executor_of, shared_executors
from hpc.run.exit_codes import FAILED
from hpc.run.model import Run
from hpc.run.run_folder import load
from hpc.runs import find_runs
from pipeline.errors import InputError, RunError
from pipeline.text import counted


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
    root = chosen_place(options).find_run_root()
    if options.restore:
        return _restore(options, root, printer)
    runs = _choose(options, root, printer)
    # Only live jobs are asked for, by their names, and no submission.
    executors = shared_executors([(run, ()) for run in runs])
    plans = plan_cleaning(runs, executors)
    if not options.runs:
        plans = [plan for plan in plans if plan.decision is not Decision.ARCHIVED]
    if not options.json:
        printer.show(*describe_plan(plans))
    failures = _clean(plans, printer) if options.yes else {}
    chosen = [plan for plan in plans if plan.inodes_to_go]
    if chosen and not options.yes:
        printer.show(Line("nothing was changed. To archive them, add --yes"))
    is_refused = bool(options.runs) and any(plan.decision is Decision.KEEP for plan in plans)
    document = {"run_root": str(root), "done": options.yes, **plan_document(plans, failures)}
    return FAILED if failures or is_refused else 0, document


def _choose(options: argparse.Namespace, root: Path, printer: Printer) -> list[Run]:
    """Return the runs that the arguments mean, oldest first."""
    if options.runs:
        named = {run.run_id: run for run in (find_runs.find(root, each) for each in options.runs)}
        runs = sorted(named.values(), key=lambda run: run.age)
    else:
        report_left_out(root, printer)
        runs = []
        for folder in find_runs.all_runs(root):
            try:
                runs.append(load(folder))
            except (InputError, RunError, OSError) as error:
                printer(f"{error}")
    if options.older_than is None:
        return runs
    latest = datetime.now(UTC) - timedelta(days=options.older_than)
    return [run for run in runs if run.age[0].replace(tzinfo=UTC) < latest]


def _clean(plans: list[RunCleaning], printer: Printer) -> dict[str, str]:
    """Archive the runs that can be archived; return by run id why others could not be."""
    failures: dict[str, str] = {}
    for plan in plans:
        if plan.decision not in (Decision.ARCHIVE, Decision.FINISH):
            continue
        run_id = plan.run.run_id
        try:
            archive_run(plan.run, executor_of(plan.run))
        except (InputError, RunError) as error:
            failures[run_id] = str(error)
        except OSError as error:
            failures[run_id] = describe_error(error)
        if run_id in failures:
            printer(f"run {run_id} is not archived: {failures[run_id]}")
        else:
            printer(f"run {run_id}: archived, {plan.inodes_to_go:,} files and folders removed")
    return failures


def _restore(options: argparse.Namespace, root: Path, printer: Printer) -> Outcome:
    if not options.runs:
        raise InputError("--restore: name the runs to unpack. To list them: hpc ls")
    restored = []
    for wanted in options.runs:
        run = find_runs.find(root, wanted)
        count = unpack_run(run)
        restored.append({"run_id": run.run_id, "run_dir": str(run.folder), "files": count})
        printer(f"run {run.run_id}: {counted(count, 'file')} unpacked, and the archive removed")
    return 0, {"run_root": str(root), "done": True, "restored": restored}


VERB = Verb(
    name="clean",
    example="hpc clean --older-than 30",
    arguments=arguments,
    act=act,
    if_interrupted="no file is lost. To continue, run the same command",
)

if __name__ == "__main__":
    cli.main(VERB)
