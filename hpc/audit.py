"""Run `hpc audit`: where every post of the backlog is, and why one has no label."""

import argparse
import tempfile
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb
from hpc.config import run_config
from hpc.config.run_config import Config
from hpc.display.backlog_audit import describe_audit
from hpc.display.console import Printer
from hpc.display.post import PostFiles, describe_post
from hpc.executors.factory import executor_of
from hpc.planning.exclusions import read_start
from hpc.reconcile.audit_files import collect_files, examine_with, list_inputs
from hpc.reconcile.look import look
from hpc.run.exit_codes import FAILED, UNDER_WAY
from hpc.run.model import Run
from hpc.run.run_state import RunStatus
from hpc.runs import find_runs
from hpc.runs.unusable_runs import UnusableRun
from pipeline.backlog import select, sources
from pipeline.backlog.sources import Source
from pipeline.database import backlog_audit, duckdb_file, history
from pipeline.database.backlog_audit import Audit, AuditedLabels, Files
from pipeline.progress import NO_PROGRESS, Progress


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc audit`."""
    cli.config_arguments(parser)
    parser.add_argument("--post", metavar="URI", help="show what happened to one post")


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Audit a backlog, or describe one of its posts."""
    config = run_config.load(options.config, tuple(options.set))
    source = sources.find_source(
        config.backlog,
        (options.config.parent.absolute(), Path.cwd()),
        database=config.storage.database,
    )
    for line in find_runs.find_copies(config.storage.run_root):
        printer(line)
    runs, unusable = find_runs.find_named(config.storage.run_root, config.name)
    if options.post:
        files_of_posts = PostFiles(
            inputs=list_inputs(runs),
            examine=examine_with(runs),
            look=_look_back,
            problems=[str(each) for each in unusable],
        )
        code, lines = describe_post(config, source, runs, options.post, files_of_posts)
        if not options.json:
            printer("\n".join(lines))
        return code, {"uri": options.post, "labelled": code == 0, "story": lines}
    files = collect_files(config.storage.database, runs, unusable)
    audit = audit_backlog(config, source, runs, files, printer)
    gone = _deleted_runs(config, runs, unusable)
    if not options.json:
        printer.show(*describe_audit(audit, config.name, source, files))
        for run_id, folder in gone.items():
            printer(
                f"the database has run {run_id}, but its folder {folder} is gone: a post of this "
                "run whose row is missing counts as late or new, because nothing else shows that "
                "it was labeled"
            )
    document = {
        "whole": audit.is_whole,
        **asdict(audit),
        "runs_gone": list(gone),
        "files": len(source.files),
        "left_out": [each.to_json() for each in source.left_out],
    }
    return _exit_code(audit), document


def _exit_code(audit: Audit) -> int:
    if audit.needs_a_person:
        return FAILED
    return 0 if audit.is_whole else UNDER_WAY


def audit_backlog(
    config: Config,
    source: Source,
    runs: list[Run],
    files: Files,
    progress: Progress = NO_PROGRESS,
) -> Audit:
    """Compare a backlog with the database and these files of these runs."""
    with (
        tempfile.TemporaryDirectory(prefix="hpc-audit-") as folder,
        select.staging(Path(folder)) as connection,
    ):
        return backlog_audit.audit(
            connection,
            source,
            AuditedLabels(
                name=config.name,
                database=config.storage.database,
                watermark=_read_watermark(config, runs),
            ),
            files,
            examine_with(runs),
            progress,
        )


def _read_watermark(config: Config, runs: list[Run]) -> datetime | None:
    if not duckdb_file.exists(config.storage.database):
        return None
    with duckdb_file.opened(config.storage.database, read_only=True) as labels:
        return read_start(labels, config.name, runs)


def _look_back(run: Run) -> RunStatus:
    return look(run, executor_of(run), include_done=True)


def _deleted_runs(config: Config, runs: list[Run], unusable: list[UnusableRun]) -> dict[str, str]:
    """Return the runs that the database has and whose folder is gone, with that folder.

    The next submit takes those of their posts that were not gathered.
    """
    if not duckdb_file.exists(config.storage.database):
        return {}
    with duckdb_file.opened(config.storage.database, read_only=True) as labels:
        recorded = history.run_folders(labels, config.name)
    present = {run.run_id for run in runs} | {each.run_id for each in unusable}
    return {
        run_id: folder
        for run_id, folder in recorded.items()
        if run_id not in present and not Path(folder).is_dir()
    }


VERB = Verb(
    name="audit",
    example="hpc audit --config configs/quickstart.yaml",
    arguments=arguments,
    act=act,
)

if __name__ == "__main__":
    cli.main(VERB)
