"""`python -m hpc.status`: every shard in one state with one cause."""

import argparse
import sys
import time
from typing import Any

from hpc import cli
from hpc.database.gather_outputs import is_gathered
from hpc.reconcile.run_status import look, slurm_of
from hpc.report import status_table
from hpc.report.next_step import describe_next_step
from hpc.run.run_state import EXIT_CODE
from hpc.verb import Verb, chosen_run

CLEAR = "\x1b[H\x1b[2J"


def arguments(parser: argparse.ArgumentParser) -> None:
    cli.run_arguments(parser)
    parser.add_argument("--watch", action="store_true", help="show it again until the run ends")


def act(given: argparse.Namespace, say: Any) -> tuple[int, dict[str, Any]]:
    run = chosen_run(given)
    slurm = slurm_of(run)
    while True:
        now = look(run, slurm)
        if not given.json:
            clear = CLEAR if given.watch and sys.stdout.isatty() else ""
            say(clear + status_table.table(run, now.observation, now.judgements))
        if not (given.watch and now.is_under_way):
            break
        time.sleep(run.cluster.poll_seconds)
    document = status_table.document(run, now.observation, now.judgements)
    if not given.json:
        say(f"\n{describe_next_step(now, is_gathered=is_gathered(run, now.observation))}")
    return EXIT_CODE[now.state], document


VERB = Verb(name="status", example="hpc status --watch", arguments=arguments, act=act)

if __name__ == "__main__":
    cli.main(VERB)
