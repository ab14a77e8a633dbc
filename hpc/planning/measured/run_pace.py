"""Find out how fast earlier tasks of a configuration were, from the outputs of its runs.

An output says how fast the process was that published it, `pipeline.run_files.pace`. Only
runs whose tasks did the same work on the same kind of node count.
"""

from hpc.planning.fingerprint import LabelSpec
from hpc.planning.measured.pace import RunPace, combine
from hpc.planning.run_spec import RunSpec
from hpc.run.model.run import Run
from hpc.runs import find_runs
from pipeline.run_files import output
from pipeline.run_files.pace import Pace

# A few recent runs, and a few shards of each: a footer costs a read on a shared file system.
MOST_RUNS = 3
MOST_OUTPUTS = 20
MOST_RUNS_LOOKED_AT = 20

# Keys of the classifier that make no task slower or faster.
_HARMLESS = tuple(
    f"classifier.{name}" for name in ("price", "keep_raw", "api_key_env", "api_key_file")
)
# Keys of the cluster that say what kind of node a task runs on.
_KIND_OF_NODE = frozenset(
    f"cluster.{name}"
    for name in ("executor", "cluster_name", "partition", "constraint", "gres", "cpus")
)


def find_pace(spec: RunSpec, *, without: frozenset[str] = frozenset()) -> RunPace | None:
    """Return how fast the newest runs of a configuration were; None if nothing was measured.

    Args:
        spec: the configuration.
        without: ids of runs that do not count.
    """
    measured: list[tuple[Run, dict[int, Pace]]] = []
    named = find_runs.load_named(spec.config.storage.run_root, spec.config.name)
    for run in [*reversed(named)][:MOST_RUNS_LOOKED_AT]:
        if run.run_id in without or not is_same_work(spec, run):
            continue
        if paces := read_paces(run):
            measured.append((run, paces))
        if len(measured) == MOST_RUNS:
            break
    return combine([run for run, _ in measured], [p for _, each in measured for p in each.values()])


def find_canary(spec: RunSpec) -> Run | None:
    """Return the newest run of the name, if it is a canary with the same labels or work; else None.

    A later run has already taken the posts this canary tested for. Its tasks may have been faster
    or slower than those of this configuration would be: `is_same_work` tells.
    """
    named = find_runs.load_named(spec.config.storage.run_root, spec.config.name)
    newest = named[-1] if named else None
    if newest is None or not newest.manifest.canary:
        return None
    has_same_labels = LabelSpec.of_run(newest).hash == spec.label_spec.hash
    return newest if has_same_labels or is_same_work(spec, newest) else None


def pace_of(run: Run) -> RunPace | None:
    """Return how fast the tasks of a run were; None if no output says it."""
    return combine([run], list(read_paces(run).values()))


def read_paces(run: Run) -> dict[int, Pace]:
    """Return how fast the tasks of some shards were, spread over the run, by shard."""
    shards = len(run.manifest.shards)
    step = max(1, -(-shards // MOST_OUTPUTS))
    return output.read_paces(run.folder, range(0, shards, step))


def is_same_work(spec: RunSpec, run: Run) -> bool:
    """Tell whether the tasks of a run did what those of this configuration would do."""
    return not keys_that_change_speed(spec, run)


def keys_that_change_speed(spec: RunSpec, run: Run) -> list[str]:
    """Return the keys that differ from those of a run and may make a task slower or faster."""
    return [
        key
        for key in spec.differing_keys(run)
        if key in _KIND_OF_NODE or (key.startswith("classifier.") and not _is_harmless(key))
    ]


def _is_harmless(key: str) -> bool:
    """Tell whether a key, or the one that it is below, makes no task slower or faster."""
    return any(key == harmless or key.startswith(f"{harmless}.") for harmless in _HARMLESS)
