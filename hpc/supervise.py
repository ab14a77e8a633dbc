"""Run `hpc supervise`: drive a run to its end. It may be killed and started again at any time."""

import argparse

from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_run, report_left_out
from hpc.display.console import Printer
from hpc.display.efficiency.describe import describe_worthwhile, efficiency_document
from hpc.display.interruption import explained, what_leaving_does
from hpc.display.run_summary import show_result
from hpc.display.status_table import document
from hpc.efficiency.run_efficiency import run_efficiency
from hpc.executors.factory import executor_of
from hpc.locks import run_lock
from hpc.planning import late_posts
from hpc.reconcile import caretaker
from hpc.reconcile.loop import supervise


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc supervise`."""
    cli.run_arguments(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="one round, for cron")
    how.add_argument(
        "--caretaker", type=int, metavar="N", help="as the job that submit --caretaker submits"
    )


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Supervise a run, and show how it is in the end."""
    run = chosen_run(options)
    report_left_out(run.folder.parent, printer)
    executor = executor_of(run)
    in_background = executor.runs_in_background
    leaving = what_leaving_does(runs_in_background=in_background)
    if options.caretaker is None:
        with (
            run_lock.lock_run(run) as lock,
            explained(run, runs_in_background=in_background),
            printer.watching(leaving) as view,
        ):
            end = supervise(run, executor, lock, view, once=options.once)
    else:
        with printer.watching(leaving) as view:
            end = caretaker.run_caretaker(run, executor, options.caretaker, view)
    late = late_posts.recall(run.folder.parent, run.manifest.name)
    found = None if end.is_under_way else run_efficiency(end)
    if not options.json:
        show_result(end, printer)
        for line in late_posts.describe_late(late):
            printer(line)
        for line in describe_worthwhile(found) if found else ():
            printer(line)
    # Slurm should not report a caretaker as failed that did its work.
    code = 0 if options.caretaker is not None else end.exit_code
    values = {**document(end), **late_posts.late_document(late)}
    if found:
        values["efficiency"] = efficiency_document(found)
    return code, values


VERB = Verb(name="supervise", example="hpc supervise --once", arguments=arguments, act=act)

if __name__ == "__main__":
    cli.main(VERB)
