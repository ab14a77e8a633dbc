"""`python -m hpc.supervise`: drives a run to its end; may be killed and started again anywhere."""

import argparse
from typing import Any

from hpc import cli, first_look, rundir, summary
from hpc.cli import Verb
from hpc.drive import slurm_of, supervise
from hpc.summary import RunState


def arguments(parser: argparse.ArgumentParser) -> None:
    cli.run_arguments(parser)
    parser.add_argument("--once", action="store_true", help="one round, for cron")


def act(given: argparse.Namespace, say: Any) -> tuple[int, dict[str, Any]]:
    run = cli.chosen_run(given)
    with rundir.lock_run(run) as lock:
        end = supervise(run, slurm_of(run), lock, say, once=given.once)
    if not given.json:
        say(summary.table(run, end.observation, end.judged))
        say(first_look.text(run.manifest.database, run.manifest.name))
        if end.state is not RunState.COMPLETE:
            say(f"\nnext: {summary.next_command(run, end.state)}")
    document = summary.document(run, end.observation, end.judged)
    return summary.EXIT_CODE[end.state], document


VERB = Verb(
    name="supervise", example="python -m hpc.supervise --once", arguments=arguments, act=act
)

if __name__ == "__main__":
    cli.main(VERB)
