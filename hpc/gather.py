"""`python -m hpc.gather`: published outputs into DuckDB."""

import argparse
from dataclasses import asdict
from typing import Any

from hpc import cli, first_look
from hpc.cli import Verb
from hpc.drive import bring_in, look, slurm_of


def act(given: argparse.Namespace, say: Any) -> tuple[int, dict[str, Any]]:
    run = cli.chosen_run(given)
    gathered = bring_in(run, look(run, slurm_of(run), whole=True), say)
    if not given.json:
        say(first_look.text(run.manifest.database, run.manifest.name))
    document = asdict(gathered)
    document["rejected_outputs"] = list(document.pop("rejected"))
    return cli.FAILED if gathered.rejected else 0, document


VERB = Verb(name="gather", example="python -m hpc.gather", arguments=cli.run_arguments, act=act)

if __name__ == "__main__":
    cli.main(VERB)
