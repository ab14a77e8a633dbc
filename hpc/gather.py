"""`python -m hpc.gather`: published outputs into DuckDB."""

import argparse
from typing import Any

from hpc import cli, first_look
from hpc.cli import Verb
from hpc.collect import gather
from hpc.drive import bring_in, look, slurm_of


def act(given: argparse.Namespace, say: Any) -> tuple[int, dict[str, Any]]:
    run = cli.chosen_run(given)
    slurm = slurm_of(run)
    gathered = bring_in(run, look(run, slurm, whole=True), say)
    if gathered.set_aside:  # the history once more, now that these shards are not done
        again = look(run, slurm, whole=True)
        gather(run, again.observation, again.judged)
    if not given.json:
        say(first_look.text(run.manifest.database, run.manifest.name))
    document = {
        "rows_before": gathered.rows_before,
        "rows_added": gathered.rows_added,
        "rows_after": gathered.rows_after,
        "unlabelable": gathered.unlabelable,
        "already_present": gathered.already_present,
        "rejected_outputs": list(gathered.rejected),
    }
    return cli.FAILED if gathered.rejected else 0, document


VERB = Verb(name="gather", example="python -m hpc.gather", arguments=cli.run_arguments, act=act)

if __name__ == "__main__":
    cli.main(VERB)
