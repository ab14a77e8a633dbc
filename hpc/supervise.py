"""Run `hpc supervise`: drive a run to its end. It may be killed and started again at any time."""

import argparse

from hpc.api.run_status import describe_look
from hpc.api.supervision import wait
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_run, report_left_out
from hpc.display.console import Printer
from hpc.display.efficiency.describe import describe_worthwhile, efficiency_document
from hpc.display.interruption import describe_leaving
from hpc.display.run.run_summary import show_result
from hpc.display.run.status_table import document
from hpc.efficiency.run_efficiency import run_efficiency
from hpc.executors.factory import executor_of
from hpc.overview import other_runs
from hpc.planning import late_posts
from hpc.reconcile import caretaker
from hpc.run.model.run import Run
from hpc.run.run_state import RunStatus


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc supervise`."""
    cli.run_arguments(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="do one round and exit, for cron")
    how.add_argument(
        "--caretaker",
        type=int,
        metavar="N",
        help="used by the job that submit --caretaker submits, not by you",
    )


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Supervise a run, and show how it is in the end."""
    run = chosen_run(options)
    if options.caretaker is None:
        result = wait(run, once=options.once, say=printer)
    else:
        result = describe_look(_take_care(run, options.caretaker, printer))
    end, late = result.look, result.late_posts
    are_reserved = executor_of(run).reserves_resources
    measured = None if end.is_under_way else run_efficiency(end, are_reserved=are_reserved)
    others = other_runs.find_other_runs(end) if options.run is None else None
    if not options.json:
        show_result(end, printer)
        for line in late_posts.describe_late(late):
            printer(line)
        for line in (
            describe_worthwhile(measured) if measured and not end.was_complete_before else ()
        ):
            printer(line)
        for line in other_runs.describe_other_runs(others or (), run.folder.parent):
            printer(line)
    # Slurm should not report a caretaker as failed that did its work.
    code = 0 if options.caretaker is not None else end.exit_code
    values = {
        **document(end),
        **late_posts.late_document(late),
        **other_runs.other_runs_document(others),
    }
    if measured:
        values["efficiency"] = efficiency_document(measured)
    return code, values


def _take_care(run: Run, failures: int, printer: Printer) -> RunStatus:
    """Do the work of a caretaker's job."""
    report_left_out(run.folder.parent, printer)
    executor = executor_of(run)
    leaving = describe_leaving(runs_in_background=executor.runs_in_background)
    with printer.watching(leaving) as view:
        return caretaker.run_caretaker(run, executor, failures, view)


VERB = Verb(
    name="supervise",
    example="hpc supervise --once",
    arguments=arguments,
    act=act,
    if_interrupted="jobs in Slurm keep running. To continue, run the same command",
)

if __name__ == "__main__":
    cli.main(VERB)
