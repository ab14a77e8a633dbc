"""`python -m hpc.audit`: where every post of the backlog is, and why one has no label."""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hpc import cli
from hpc.reconcile import run_status
from hpc.report.post import describe_post
from hpc.run import run_config, run_folder
from hpc.run.model import Run, State
from hpc.run.run_config import Config
from hpc.verb import Verb
from pipeline.backlog import select, sources
from pipeline.backlog.sources import Source
from pipeline.database import backlog_audit as comparing
from pipeline.database import duckdb_file, history
from pipeline.database.backlog_audit import PLACES, Audit, Files
from pipeline.run_files.manifest import output_path, shard_path
from pipeline.text import counted

IN_FLIGHT = frozenset({State.PLANNED, State.QUEUED, State.RUNNING, State.UNKNOWN})


def arguments(parser: argparse.ArgumentParser) -> None:
    cli.config_arguments(parser)
    parser.add_argument("--post", metavar="URI", help="the story of one post, in words")


def act(given: argparse.Namespace, say: Any) -> tuple[int, dict[str, Any]]:
    settings = run_config.load(given.config, tuple(given.set))
    source = sources.find_source(settings.backlog, (given.config.parent.absolute(), Path.cwd()))
    if given.post:
        code, lines = describe_post(
            settings,
            source,
            run_folder.named(settings.storage.run_root, settings.name),
            given.post,
            lambda run: run_status.look(run, run_status.slurm_of(run), whole=True),
        )
        if not given.json:
            say("\n".join(lines))
        return code, {"uri": given.post, "labelled": code == 0, "story": lines}
    files = _files(settings)
    found, gone = _compared(settings, source, files), _gone(settings)
    if not given.json:
        say(text(found, settings, str(source), files))
        for run_id, folder in gone.items():
            say(f"the database knows run {run_id}, but its folder {folder} is gone")
    document = {"whole": found.is_whole, **asdict(found), "runs_gone": list(gone)}
    return (0 if found.is_whole else cli.FAILED), document


def compare(settings: Config, folder: Path) -> Audit:
    """Every post of a backlog that is looked for from `folder`."""
    return _compared(settings, sources.find_source(settings.backlog, (folder,)), _files(settings))


def _compared(settings: Config, source: Source, files: Files) -> Audit:
    with (
        tempfile.TemporaryDirectory(prefix="hpc-audit-") as name,
        select.staging(Path(name)) as connection,
    ):
        return comparing.audit(
            connection,
            source,
            database=settings.storage.database,
            name=settings.name,
            files=files,
        )


def _gone(settings: Config) -> dict[str, str]:
    """Runs that the database knows and whose folders are nowhere: what was not gathered of them is
    in no run any more, and the next submit takes it."""
    if not settings.storage.database.exists():
        return {}
    with duckdb_file.opened(settings.storage.database, read_only=True) as labels:
        known = history.run_folders(labels, settings.name)
    here = {run.run_id for run in run_folder.named(settings.storage.run_root, settings.name)}
    return {
        run_id: folder
        for run_id, folder in known.items()
        if run_id not in here and not Path(folder).is_dir()
    }


def _files(settings: Config) -> Files:
    gathered: list[Path] = []
    not_gathered: list[Path] = []
    waiting: dict[str, list[Path]] = {"in_flight": [], "failed": [], "blocked": []}
    for run in run_folder.named(settings.storage.run_root, settings.name):
        known = dict(_gathered(settings, run))
        now = run_status.look(run, run_status.slurm_of(run))
        for one, facts in zip(now.judgements, now.observation.shards, strict=True):
            if one.state is State.DONE:
                same = known.get(one.index) == facts.output.publication
                (gathered if same else not_gathered).append(output_path(run.folder, one.index))
            else:
                place = "in_flight" if one.state in IN_FLIGHT else str(one.state)
                waiting[place].append(shard_path(run.folder, one.index))
    return Files(
        gathered=tuple(gathered),
        not_gathered=tuple(not_gathered),
        waiting={place: tuple(paths) for place, paths in waiting.items()},
    )


def _gathered(settings: Config, run: Run) -> Iterator[tuple[int, str]]:
    if settings.storage.database.exists():
        with duckdb_file.opened(settings.storage.database, read_only=True) as labels:
            for index, (publication, _) in history.gathered_shards(labels, run.run_id).items():
                yield index, publication


MEANING = {
    "labelled": "",
    "unlabelable": "",
    "not_gathered": "published, no row yet: python -m hpc.gather",
    "in_flight": "in a shard that is planned, queued or running",
    "failed": "in a failed shard: python -m hpc.resubmit",
    "blocked": "in a shard that waits for a person: python -m hpc.status",
    "lost": "were gathered, and their row is gone: delete nothing, gather --rebuild",
    "late": "older than the watermark, in no run: submit --backfill",
    "new": "in no run yet: submit",
}
NEEDS_A_RUN = ("not_gathered", "failed", "blocked")  # to which its command is to be given


def _runs(files: Files, place: str) -> str:
    """The folder of the run that a command is about: the verbs take the newest by themselves, which
    may be another one, of another name too. How many more there are."""
    if place not in NEEDS_A_RUN:
        return ""
    paths = files.not_gathered if place == "not_gathered" else files.waiting[place]
    folders = list(dict.fromkeys(path.parents[1] for path in paths))
    more = f" (and of {counted(len(folders) - 1, 'more run')})" if folders[1:] else ""
    return f" {folders[0]}{more}" if folders else ""


def text(found: Audit, settings: Config, source: str, files: Files) -> str:
    """The counts, the next command beside what is missing, and the days that are not whole."""
    lines = [
        f"{source}: {counted(found.rows, 'row')}, "
        f"{counted(found.copies, 'copy', 'copies')} of a uri, "
        f"{counted(found.expected, 'post')} expected under the name {settings.name}",
        "",
    ]
    for place in PLACES:
        count = found.places[place]
        if count or place == "labelled":
            note = MEANING[place] + _runs(files, place)
            if place == "unlabelable":
                note = ", ".join(f"{reason} {number:,}" for reason, number in found.reasons.items())
            lines.append(f"  {place:<13}{count:>12,}  {note}".rstrip())
    lines.append(f"  {'sum':<13}{sum(found.places.values()):>12,}")
    for count, what in (
        (
            found.unreadable,
            "of the backlog without uri or timestamp: submit names the first",
        ),
        (found.differing, "in the database unlike the output"),
        (found.duplicates, "too many in the database: a uri twice"),
        (found.foreign, "in the database of posts that this backlog has not"),
        (found.unproven, "in the database with no output behind (a deleted run?)"),
    ):
        if count:
            lines.append(f"  {counted(count, 'row')} {what}")
    lines += [
        f"    {where}: edited, the output or its rows: gather --rebuild takes the output"
        for where in found.edited
    ]
    open_days = [
        (day, counts)
        for day, counts in found.days
        if sum(counts.values()) > counts["labelled"] + counts["unlabelable"]
    ]
    if open_days:
        lines += ["", "days that are not whole:"]
        for day, counts in open_days:
            rest = ", ".join(f"{place} {counts[place]:,}" for place in PLACES if counts[place])
            lines.append(f"  {day}  {rest}")
    verdict = "nothing is missing" if found.is_whole else "posts are missing, or counts are wrong"
    return "\n".join([*lines, "", verdict])


VERB = Verb(
    name="audit",
    example="hpc audit --config configs/quickstart.yaml",
    arguments=arguments,
    act=act,
)

if __name__ == "__main__":
    cli.main(VERB)
