"""`hpc check`: check everything that can be known before anything is spent."""

import argparse

from hpc.checks.describe_findings import describe_findings, summarize_findings
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb
from hpc.display.blocks import Line
from hpc.display.console import Printer
from hpc.planning.check_run import CheckRequest, check_run

PATIENCE_S = 300


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
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
        help=f"with --node: how long the job may wait for its start (default: {PATIENCE_S})",
    )


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Make every check, and show a line for each finding."""
    request = CheckRequest(
        config=options.config,
        overrides=tuple(options.set),
        asks_service=not options.no_request,
        looks_at_node=options.node,
        patience_s=options.patience,
    )
    result = check_run(request, printer)
    if not options.json:
        printer.show(*describe_findings(result.findings), Line(""))
        printer.show(summarize_findings(result.findings))
    return result.exit_code, [finding.to_json() for finding in result.findings]


VERB = Verb(
    name="check",
    example="hpc check --config configs/quickstart.yaml",
    arguments=arguments,
    act=act,
    if_interrupted="no run was created",
)

if __name__ == "__main__":
    cli.main(VERB)
