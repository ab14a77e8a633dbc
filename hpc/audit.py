"""Run `hpc audit`: where every post of the backlog is, and why one has no label."""

import argparse
from dataclasses import asdict

from hpc.api.auditing import audit, explain_post
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb
from hpc.display.backlog_audit import describe_audit
from hpc.display.console import Printer


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc audit`."""
    cli.config_arguments(parser)
    parser.add_argument("--post", metavar="URI", help="show what happened to one post")


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Audit a backlog, or describe one of its posts."""
    if options.post:
        return _describe_post(options, printer)
    result = audit(options.config, overrides=options.set, say=printer)
    if not options.json:
        printer.show(
            *describe_audit(result.audit, result.name, result.source, result.files, result.config)
        )
        for run_id, folder in result.runs_gone.items():
            printer(
                f"the database has run {run_id}, but its folder {folder} is gone: a post of this "
                "run whose row is missing counts as late or new, because nothing else shows that "
                "it was labeled"
            )
    document = {
        "whole": result.is_whole,
        **asdict(result.audit),
        "runs_gone": list(result.runs_gone),
        "files": len(result.source.files),
        "left_out": [each.to_json() for each in result.source.left_out],
    }
    return result.exit_code, document


def _describe_post(options: argparse.Namespace, printer: Printer) -> Outcome:
    result = explain_post(options.config, options.post, overrides=options.set, say=printer)
    if not options.json:
        printer("\n".join(result.history))
    return result.exit_code, {
        "uri": result.uri,
        "labelled": result.has_row,
        "story": list(result.history),
    }


VERB = Verb(
    name="audit",
    example="hpc audit --config valence.yaml",
    arguments=arguments,
    act=act,
    if_interrupted="nothing was changed",
)

if __name__ == "__main__":
    cli.main(VERB)
