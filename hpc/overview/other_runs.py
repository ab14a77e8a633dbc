"""Find the other runs under a run root that are not complete, for commands on the newest one.

A person who names no run means the newest, and may have forgotten an older one that needs them.
This looks at few runs: `status` has to be quick beside a thousand of them.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc.executors.factory import shared_executors
from hpc.overview.known_runs import read_known_runs, stamp_of
from hpc.reconcile.look import look
from hpc.run.model.run import Run
from hpc.run.outputs import verify_outputs
from hpc.run.run_folder import load
from hpc.run.run_state import RunState, RunStatus
from hpc.run.submissions import read_submissions
from hpc.runs import find_runs
from pipeline.errors import InputError, RunError

# Whether one of these is complete costs a few files each.
MOST_RUNS = 30
# The state of one that is not costs a look at all of its shards.
MOST_LOOKS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherRun:
    """A run that is not complete."""

    run_id: str
    name: str
    """The name of its labels."""
    state: RunState | None
    """Its state; None where nobody looked, or it cannot be read now."""


def find_other_runs(newest: RunStatus) -> tuple[OtherRun, ...]:
    """Return those of the last MOST_RUNS runs before the newest that are not complete.

    The newest come first. A run that cannot be read is none of them: each command names these.

    Args:
        newest: the run that is not another one, as it was just seen. If its executor did not
            answer, nobody asks about the others.
    """
    unfinished = _find_unfinished(newest.run)
    states = _states(unfinished[:MOST_LOOKS]) if newest.observation.answered else {}
    return tuple(
        OtherRun(run_id=run.run_id, name=run.manifest.name, state=states.get(run.run_id))
        for run in unfinished
        if states.get(run.run_id) is not RunState.COMPLETE  # by now
    )


def _find_unfinished(newest: Run) -> list[Run]:
    root = newest.folder.parent
    known = read_known_runs(root)
    folders = [each for each in find_runs.every_folder(root) if each != newest.folder]
    unfinished = []
    for folder in folders[: -MOST_RUNS - 1 : -1]:
        before = known.get(folder.name)
        if before and before[0] == stamp_of(folder):
            continue
        try:
            run = load(folder)
            if not all(check.verified for check in verify_outputs(run)):
                unfinished.append(run)
        except (InputError, RunError, OSError):
            continue
    return unfinished


def _states(runs: Sequence[Run]) -> dict[str, RunState]:
    """Return the states of runs by their id, asking each cluster once about all of them."""
    states: dict[str, RunState] = {}
    try:
        executors = shared_executors([(run, read_submissions(run)) for run in runs])
        for run in runs:
            states[run.run_id] = look(run, executors[run.run_id]).state
    except (InputError, RunError, OSError):
        return states
    return states


def describe_other_runs(others: Sequence[OtherRun], run_root: Path) -> list[str]:
    """Return a line on the runs that are not complete; none if there is none."""
    if not others:
        return []
    shown = [f"{run.name}, {run.state}" if run.state else run.name for run in others[:MOST_LOOKS]]
    more = "; …" if len(others) > MOST_LOOKS else ""
    verb = "run is" if len(others) == 1 else "runs are"
    is_usual = run_root == Path("runs").absolute()
    to_list = "hpc ls" if is_usual else f"hpc ls --run-root {shlex.quote(str(run_root))}"
    return [f"{len(others)} other {verb} not complete: {'; '.join(shown)}{more} ({to_list})."]


def other_runs_document(others: Sequence[OtherRun] | None) -> dict[str, object]:
    """Return the key of a JSON document on other runs; null where nobody looked for them."""
    if others is None:
        return {"other_runs": None}
    return {
        "other_runs": [
            {
                "run_id": run.run_id,
                "name": run.name,
                "state": None if run.state is None else str(run.state),
            }
            for run in others
        ]
    }
