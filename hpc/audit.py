"""Run `hpc audit`: where every post of the backlog is, and why one has no label."""

import argparse
from dataclasses import asdict

from hpc.api.auditing import audit, find_backlog
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb
from hpc.display.backlog_audit import describe_audit
from hpc.display.console import Printer
from hpc.display.post import PostFiles, describe_post
from hpc.executors.factory import executor_of
from hpc.reconcile.audit_files import examine_with, list_inputs
from hpc.reconcile.look import look
from hpc.run.model import Run
from hpc.run.run_state import RunStatus


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc audit`."""
    cli.config_arguments(parser)
    parser.add_argument("--post", metavar="URI", help="show what happened to one post")


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Audit a backlog, or describe one of its posts."""
    if options.post:
        return _describe_post(options, printer)
    done = audit(options.config, overrides=options.set, say=printer)
    if not options.json:
        printer.show(*describe_audit(done.audit, done.name, done.source, done.files))
        for run_id, folder in done.runs_gone.items():
            printer(
                f"the database has run {run_id}, but its folder {folder} is gone: a post of this "
                "run whose row is missing counts as late or new, because nothing else shows that "
                "it was labeled"
            )
    document = {
        "whole": done.is_whole,
        **asdict(done.audit),
        "runs_gone": list(done.runs_gone),
        "files": len(done.source.files),
        "left_out": [each.to_json() for each in done.source.left_out],
    }
    return done.exit_code, document


def _describe_post(options: argparse.Namespace, printer: Printer) -> Outcome:
    backlog = find_backlog(options.config, options.set, printer)
    files = PostFiles(
        inputs=list_inputs(backlog.runs),
        examine=examine_with(backlog.runs),
        look=_look_back,
        problems=[str(each) for each in backlog.unusable],
    )
    code, lines = describe_post(backlog.config, backlog.source, backlog.runs, options.post, files)
    if not options.json:
        printer("\n".join(lines))
    return code, {"uri": options.post, "labelled": code == 0, "story": lines}


def _look_back(run: Run) -> RunStatus:
    return look(run, executor_of(run), include_done=True)


VERB = Verb(
    name="audit",
    example="hpc audit --config configs/quickstart.yaml",
    arguments=arguments,
    act=act,
    if_interrupted="nothing was changed",
)

if __name__ == "__main__":
    cli.main(VERB)
