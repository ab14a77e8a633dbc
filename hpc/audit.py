"""Run `hpc audit`: where every post of the backlog is, and why one has no label."""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from hpc import cli
from hpc.config import run_config
from hpc.config.run_config import Config
from hpc.executors.factory import executor_of
from hpc.exit_codes import FAILED
from hpc.reconcile.look import look
from hpc.report.backlog_audit import describe_audit
from hpc.report.console import Printer
from hpc.report.post import describe_post
from hpc.run import run_folder
from hpc.run.model import Run, State
from hpc.run.run_state import RunStatus
from hpc.verb import Outcome, Verb, report_left_out
from pipeline.backlog import select, sources
from pipeline.backlog.sources import Source
from pipeline.database import backlog_audit, duckdb_file, history
from pipeline.database.backlog_audit import Audit, Files, Place
from pipeline.run_files.manifest import output_path, shard_path

# Where the posts of a shard that is not done are.
PLACE = {
    State.PLANNED: Place.IN_FLIGHT,
    State.QUEUED: Place.IN_FLIGHT,
    State.RUNNING: Place.IN_FLIGHT,
    State.UNKNOWN: Place.IN_FLIGHT,
    State.ENDING: Place.IN_FLIGHT,
    State.FAILED: Place.FAILED,
    State.BLOCKED: Place.BLOCKED,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc audit`."""
    cli.config_arguments(parser)
    parser.add_argument("--post", metavar="URI", help="show what happened to one post")


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Audit a backlog, or describe one of its posts."""
    config = run_config.load(options.config, tuple(options.set))
    source = sources.find_source(config.backlog, (options.config.parent.absolute(), Path.cwd()))
    report_left_out(config.storage.run_root, printer)
    runs = run_folder.named(config.storage.run_root, config.name)
    if options.post:
        code, lines = describe_post(config, source, runs, options.post, _look_back)
        if not options.json:
            printer("\n".join(lines))
        return code, {"uri": options.post, "labelled": code == 0, "story": lines}
    files = collect_files(config, runs)
    audit = audit_backlog(config, source, files)
    gone = _deleted_runs(config, runs)
    if not options.json:
        printer.show(*describe_audit(audit, config.name, str(source), files))
        for run_id, folder in gone.items():
            printer(f"the database has run {run_id}, but its folder {folder} is gone")
    document = {"whole": audit.is_whole, **asdict(audit), "runs_gone": list(gone)}
    return (0 if audit.is_whole else FAILED), document


def audit_backlog(config: Config, source: Source, files: Files) -> Audit:
    """Compare a backlog with the database and these files."""
    with (
        tempfile.TemporaryDirectory(prefix="hpc-audit-") as folder,
        select.staging(Path(folder)) as connection,
    ):
        return backlog_audit.audit(
            connection, source, database=config.storage.database, name=config.name, files=files
        )


def collect_files(config: Config, runs: list[Run]) -> Files:
    """Look at runs, and sort the files of their shards by what became of them."""
    gathered: list[Path] = []
    not_gathered: list[Path] = []
    waiting: dict[Place, list[Path]] = {place: [] for place in PLACE.values()}
    for run in runs:
        publications = dict(_gathered_publications(config, run))
        status = look(run, executor_of(run))
        for judgement, facts in zip(status.judgements, status.observation.shards, strict=True):
            index = judgement.index
            if judgement.state is not State.DONE:
                waiting[PLACE[judgement.state]].append(shard_path(run.folder, index))
            elif publications.get(index) == facts.output.publication:
                gathered.append(output_path(run.folder, index))
            else:
                not_gathered.append(output_path(run.folder, index))
    return Files(
        gathered=tuple(gathered),
        not_gathered=tuple(not_gathered),
        waiting={place: tuple(paths) for place, paths in waiting.items()},
    )


def _look_back(run: Run) -> RunStatus:
    return look(run, executor_of(run), include_done=True)


def _deleted_runs(config: Config, runs: list[Run]) -> dict[str, str]:
    """Return the runs that the database has and whose folder is gone, with that folder.

    The next submit takes those of their posts that were not gathered.
    """
    if not config.storage.database.exists():
        return {}
    with duckdb_file.opened(config.storage.database, read_only=True) as labels:
        recorded = history.run_folders(labels, config.name)
    present = {run.run_id for run in runs}
    return {
        run_id: folder
        for run_id, folder in recorded.items()
        if run_id not in present and not Path(folder).is_dir()
    }


def _gathered_publications(config: Config, run: Run) -> Iterator[tuple[int, str]]:
    if config.storage.database.exists():
        with duckdb_file.opened(config.storage.database, read_only=True) as labels:
            for index, (publication, _) in history.gathered_shards(labels, run.run_id).items():
                yield index, publication


VERB = Verb(
    name="audit",
    example="hpc audit --config configs/quickstart.yaml",
    arguments=arguments,
    act=act,
)

if __name__ == "__main__":
    cli.main(VERB)
