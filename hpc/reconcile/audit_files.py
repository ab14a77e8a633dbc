"""Sort the files of a name's runs for the audit, by what became of their shards."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from hpc.executors.factory import executor_of
from hpc.reconcile.look import look
from hpc.run import outputs
from hpc.run.model.run import Run
from hpc.run.model.shards import State
from hpc.run.run_state import RunStatus
from hpc.runs.unusable_runs import UnusableRun
from pipeline.database import output_proofs
from pipeline.database.backlog_audit import Files
from pipeline.database.compare_outputs import Examine, ShardFile
from pipeline.database.history import GatheredShard
from pipeline.database.places.place import WAITING, Place
from pipeline.errors import DamagedError, InputError, RunError, UnreadableError
from pipeline.model import Shard
from pipeline.run_files import output, read_parquet, responses, sample_file
from pipeline.run_files.manifest import output_name, output_path, shard_name, shard_path
from pipeline.run_files.output import OutputCheck

# Where the posts of a shard that is not done are.
PLACE = {
    State.PLANNED: Place.PLANNED,
    State.QUEUED: Place.IN_FLIGHT,
    State.RUNNING: Place.IN_FLIGHT,
    State.UNKNOWN: Place.IN_FLIGHT,
    State.ENDING: Place.IN_FLIGHT,
    State.FAILED: Place.FAILED,
    State.BLOCKED: Place.BLOCKED,
}

_KEEP_RAW = "classifier.keep_raw"

GatheredShards = Mapping[str, Mapping[int, GatheredShard]]
"""What the database has of the shards that were gathered, by run id and shard index."""
UnchangedShards = Mapping[str, Collection[int]]
"""The shards whose outputs have the bytes that were gathered, by run id."""


@dataclass(slots=True)
class _Sorted:
    gathered: list[ShardFile] = field(default_factory=list)
    not_gathered: list[ShardFile] = field(default_factory=list)
    waiting: dict[Place, list[ShardFile]] = field(
        default_factory=lambda: {place: [] for place in WAITING}
    )
    problems: list[str] = field(default_factory=list)


def find_unchanged(gathered: GatheredShards, runs: Sequence[Run]) -> UnchangedShards:
    """Return the shards of runs whose outputs have the bytes that were verified and gathered.

    Args:
        gathered: what the labels' database has of the runs.
        runs: the runs.
    """
    return {run.run_id: _find_unchanged(run, gathered.get(run.run_id, {})) for run in runs}


def collect_files(
    gathered: GatheredShards,
    unchanged: UnchangedShards,
    runs: Sequence[Run],
    unusable: Sequence[UnusableRun] = (),
) -> Files:
    """Look at runs, and sort the files of their shards by what became of them.

    Args:
        gathered: what the labels' database had of the runs, before anybody looks at them.
        unchanged: what `find_unchanged` returned.
        runs: the runs.
        unusable: runs that cannot be read. Their posts are those of their shards' files.
    """
    found = _Sorted()
    for run in runs:
        _sort_run(run, gathered.get(run.run_id, {}), unchanged.get(run.run_id, ()), found)
    found.problems += _find_sample_problems(runs)
    for each in unusable:
        found.problems.append(str(each))
        found.waiting[Place.UNREADABLE] += _files_without_manifest(each.folder)
    return Files(
        gathered=tuple(found.gathered),
        not_gathered=tuple(found.not_gathered),
        waiting={place: tuple(files) for place, files in found.waiting.items()},
        runs={run.run_id: len(run.manifest.shards) for run in runs},
        unusable_runs=frozenset(each.run_id for each in unusable),
        problems=tuple(found.problems),
    )


def list_inputs(runs: Sequence[Run]) -> list[ShardFile]:
    """Return the inputs of all shards of some runs."""
    return [
        _file(run, shard, f"{folder}/{shard_name(shard.index)}")
        for run in runs
        for folder in [shard_path(run.folder, 0).parent]
        for shard in run.manifest.shards
    ]


def examine_with(runs: Sequence[Run]) -> Examine:
    """Return what reads a file of these runs, and says what is wrong with it."""
    by_id = {run.run_id: run for run in runs}

    def examine(file: ShardFile) -> tuple[pa.Table | None, str]:
        run = by_id.get(file.run_id)
        if run and file.path == output_path(run.folder, file.index):
            return _read_output(run, file)
        try:
            return read_parquet.read_table(file.path, columns=["uri"], pauses=()), ""
        except FileNotFoundError:
            return None, f"{file.path} is missing"
        except (UnreadableError, DamagedError) as error:
            return None, str(error)

    return examine


def _read_output(run: Run, file: ShardFile) -> tuple[pa.Table | None, str]:
    check, table = output.read(run.folder, run.manifest, file.index, pauses=())
    if table is not None:
        return table, ""
    if check.unreadable:
        return None, f"{file.path} cannot be read now: {check.unreadable}"
    if check.problem:
        return None, f"{file.path} is damaged: {check.problem}"
    return None, f"{file.path} is missing"


def _sort_run(
    run: Run, known: Mapping[int, GatheredShard], unchanged: Collection[int], found: _Sorted
) -> None:
    try:
        status = look(run, executor_of(run), open_only=True, verified=unchanged)
    except (InputError, RunError, OSError) as error:
        found.problems.append(f"run {run.run_id}: {error}")
        checks = _verify_if_readable(run, unchanged)
        places = [Place.UNREADABLE] * len(checks)
    else:
        checks = tuple(facts.output for facts in status.observation.shards)
        places = _places(status)
    _sort_shards(run, checks, places, known, unchanged, found)
    is_corrected = any(
        change.key == _KEEP_RAW for amendment in run.amendments for change in amendment.changes
    )
    if is_corrected or run.manifest.classifier.get("keep_raw"):
        done = [index for index, check in enumerate(checks) if check.verified]
        found.problems += responses.find_problems(run.folder, done, of_all=not is_corrected)


def _verify_if_readable(run: Run, unchanged: Collection[int]) -> Sequence[OutputCheck]:
    """Return what the outputs show of a run that cannot be looked at: nothing if it is archived."""
    try:
        return outputs.verify_outputs(run, without=unchanged)
    except (RunError, OSError):  # the same trouble again
        return [OutputCheck()] * len(run.manifest.shards)


def _find_unchanged(run: Run, known: Mapping[int, GatheredShard]) -> Collection[int]:
    folder = str(output_path(run.folder, 0).parent)
    return output_proofs.find_unchanged(
        {
            index: (f"{folder}/{output_name(index)}", shard.proof.sha256)
            for index, shard in known.items()
            if 0 <= index < len(run.manifest.shards) and shard.proof and shard.proof.is_comparable
        }
    )


def _find_sample_problems(runs: Sequence[Run]) -> list[str]:
    """Return what is wrong with the samples that runs are of, a line for each."""
    runs_by_file = {
        sample_file.path_of(run.folder.parent, run.manifest.sample): run.run_id
        for run in runs
        if run.manifest.sample
    }
    problems = []
    for path, run_id in runs_by_file.items():
        try:
            sample_file.read(path)
        except FileNotFoundError:
            problems.append(
                f"{path} is missing: it has the inclusion probabilities of the posts of {run_id}"
            )
        except (UnreadableError, DamagedError) as error:
            problems.append(str(error))
    return problems


def _places(status: RunStatus) -> list[Place]:
    """Return where the posts of each shard are that is not done.

    A planned shard is on its way while others are: its wave follows theirs.
    """
    places = [
        Place.HANDED_OVER
        if judgement.awaits_engine
        else PLACE.get(judgement.state, Place.UNREADABLE)
        for judgement in status.judgements
    ]
    if not status.is_under_way:
        return places
    return [Place.IN_FLIGHT if place is Place.PLANNED else place for place in places]


def _sort_shards(
    run: Run,
    checks: Sequence[OutputCheck],
    places: Sequence[Place],
    known: Mapping[int, GatheredShard],
    unchanged: Collection[int],
    found: _Sorted,
) -> None:
    inputs = str(shard_path(run.folder, 0).parent)
    outputs = str(output_path(run.folder, 0).parent)
    for shard, check, place in zip(run.manifest.shards, checks, places, strict=True):
        path = f"{outputs}/{output_name(shard.index)}"
        recorded = known.get(shard.index)
        if recorded and recorded.proof and shard.index in unchanged:
            found.gathered.append(_file(run, shard, path, recorded.proof.rows_hash))
            continue
        if check.verified:
            if recorded and recorded.publication == check.publication:
                found.gathered.append(_file(run, shard, path))
            else:
                found.not_gathered.append(_file(run, shard, path))
            continue
        its_place = place
        if check.unreadable:
            found.problems.append(f"{path} cannot be read now: {check.unreadable}")
            its_place = Place.UNREADABLE
        if check.problem:
            found.problems.append(f"{path}: {check.problem}")
        found.waiting[its_place].append(_file(run, shard, f"{inputs}/{shard_name(shard.index)}"))


def _file(run: Run, shard: Shard, path: str, rows_hash: str = "") -> ShardFile:
    return ShardFile(
        file=path,
        run_id=run.run_id,
        index=shard.index,
        posts=shard.posts,
        oldest=shard.min_preprocessing_timestamp,
        newest=shard.max_preprocessing_timestamp,
        rows_hash=rows_hash,
    )


def _files_without_manifest(folder: Path) -> list[ShardFile]:
    """Return the inputs of a run without a manifest, or without these its outputs."""
    for name in ("shards", "outputs"):
        try:
            paths = sorted(path for path in (folder / name).iterdir() if path.suffix == ".parquet")
        except OSError:  # the run is named anyway
            continue
        if paths:
            return [
                ShardFile(file=str(path), run_id=folder.name, index=number, posts=0)
                for number, path in enumerate(paths)
            ]
    return []
