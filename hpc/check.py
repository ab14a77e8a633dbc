"""Check everything that can be known before anything is spent: `hpc check`."""

import argparse

from hpc.api.checking import PATIENCE_S, check
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb
from hpc.display.console import Printer


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc check`."""
    cli.config_arguments(parser)
    parser.add_argument(
        "--no-request",
        action="store_true",
        help="do not label a sentence by the real service, which may cost a fraction of a cent",
    )
    parser.add_argument(
        "--node",
        action="store_true",
        help="also run a one-minute job that tests Python, imports, run root, locks, clock, quota "
        "folder, model files, GPU and service from a compute node",
    )
    parser.add_argument(
        "--patience",
        type=cli.at_least(1),
        default=PATIENCE_S,
        metavar="SECONDS",
        help=f"with --node: how long the job may wait for its start (default: {PATIENCE_S:g})",
    )


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Make every check, and show a line for each finding."""
    result = check(
        options.config,
        overrides=options.set,
        ask_service=not options.no_request,
        on_node=options.node,
        patience_s=options.patience,
        say=printer,
    )
    if not options.json:
        printer.show(*result.describe())
    return result.exit_code, [finding.to_json() for finding in result.findings]


VERB = Verb(
    name="check",
    example="hpc check --config valence.yaml",
    arguments=arguments,
    act=act,
    if_interrupted="nothing was submitted",
    classifies=True,
)

if __name__ == "__main__":
    cli.main(VERB)
