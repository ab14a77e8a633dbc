"""Supervision ends, whatever lies beside the run."""

import shutil
from pathlib import Path

import pytest

from hpc.executors.local.executor import LocalExecutor
from hpc.reconcile.gather import gather_and_report
from hpc.reconcile.look import look
from hpc.reconcile.loop import supervise
from hpc.run import run_folder
from hpc.run.model import Run
from hpc.run.run_state import RunState
from tests.hpc.cli_bench import valence_run
from tests.pipeline import run_builders

# A supervision that gathers again and again says so each time.
MOST_MESSAGES = 20


@pytest.fixture
def supervised_run(tmp_path: Path) -> Run:
    """A published run below a folder named `set aside`, beside a copy that is no run."""
    run = valence_run(tmp_path / "set aside", 4)
    for shard in range(len(run.manifest.shards)):
        run_builders.publish_shard(run.folder, run.manifest, shard)
    shutil.copytree(run.folder, run.folder.with_name(f"{run.run_id}-copy"))
    return run


def test_a_run_that_cannot_be_read_is_reported_and_no_output_is_set_aside(
    supervised_run: Run,
) -> None:
    status = look(supervised_run, LocalExecutor(), include_done=True)
    gathered = gather_and_report(status, lambda line: None)
    assert (len(gathered.rejected), gathered.set_aside) == (1, 0)


def test_supervision_ends_though_a_path_in_a_message_says_set_aside(supervised_run: Run) -> None:
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        assert len(lines) < MOST_MESSAGES, lines

    with run_folder.lock_run(supervised_run) as lock:
        assert supervise(supervised_run, LocalExecutor(), lock, say).state is RunState.COMPLETE
