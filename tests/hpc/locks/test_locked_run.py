"""What another process did until this one got a run's lock counts."""

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from hpc.api import supervision
from hpc.locks.locked_run import LockedRun, hold_run
from hpc.locks.run_lock import lock_run
from hpc.planning import resume
from hpc.run import run_folder
from hpc.run.model.run import Run
from pipeline.errors import RunError
from tests.hpc.cli_bench import Bench, exit_code, once


def holding_after(act: Callable[[], object]) -> Callable[[Run], AbstractContextManager[LockedRun]]:
    """`hold_run` of a process that waits for the lock while another one acts, the first time."""
    acts = [act]

    def hold(run: Run) -> AbstractContextManager[LockedRun]:
        if acts:
            acts.pop()()
        return hold_run(run)

    return hold


@pytest.fixture
def unfinished(bench: Bench) -> Bench:
    """A run of 6 posts, of whose two shards one has failed for good."""
    bench.config(posts=6, retry={"max_attempts": 1})
    bench.script(1, "fail")
    assert exit_code(bench.submit()) == 1
    assert bench.states() == [("done", None, 1), ("blocked", "crashed", 1)]
    return bench


def test_a_run_that_was_finished_meanwhile_is_not_resumed(
    unfinished: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish() -> None:
        assert exit_code(unfinished.hpc_process("resubmit", "--force")) == 0
        assert exit_code(unfinished.hpc_process("gather")) == 0

    monkeypatch.setattr(resume, "hold_run", holding_after(finish))
    document = unfinished.document("submit", "--config", unfinished.path)
    assert (document["posts"], document["run_id"]) == (0, None)
    assert len(unfinished.runs()) == 1
    assert unfinished.asked() == once(6)
    (run,) = unfinished.runs()
    with lock_run(run_folder.load(run)):  # nobody holds it any more
        pass


def test_supervise_knows_a_correction_that_was_made_meanwhile(
    unfinished: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["tee", "event.json"]

    def correct() -> None:
        correction = ("--set", f"notify.command={json.dumps(command)}", "--indices", 0)
        unfinished.hpc_process("resubmit", *correction)

    monkeypatch.setattr(supervision, "hold_run", holding_after(correct))
    assert exit_code(unfinished.hpc("supervise")) == 1
    event = json.loads((unfinished.folder / "event.json").read_text())
    assert event["event"] == "needs_person"


def test_a_run_that_was_removed_meanwhile_cannot_be_locked(unfinished: Bench) -> None:
    (folder,) = unfinished.runs()
    run = run_folder.load(folder)
    shutil.rmtree(folder)
    with pytest.raises(RunError, match="no longer there"), lock_run(run):
        pass
    assert not Path(folder).exists()
