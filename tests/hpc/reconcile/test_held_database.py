"""A notebook that has the database open delays gathering, and stops nothing."""

import json
from pathlib import Path

import pytest

from hpc.display.live.plain_lines import PlainLines
from hpc.executors.local.executor import LocalExecutor
from hpc.locks import run_lock
from hpc.reconcile import loop
from hpc.reconcile.gathering import gather as gathering
from hpc.reconcile.gathering import gather_rounds
from hpc.run.model.run import Run
from pipeline.database import duckdb_file
from pipeline.database.duckdb_file import HeldDatabaseError
from tests.hpc.cli_bench import Bench, ended, outcome
from tests.hpc.database.held_database import held
from tests.hpc.growing_backlog import GrowingBacklog, post
from tests.waiting import wait_until

BOTH_WAYS = pytest.mark.parametrize("read_only", [True, False])


@pytest.fixture
def published(tmp_path: Path) -> tuple[GrowingBacklog, Run]:
    """A database with two labels, and a run whose output is published and not gathered."""
    made = GrowingBacklog(tmp_path)
    made.arrive(post(1, 1), post(2, 2))
    first, _ = made.submit()
    assert first
    made.finish(first)
    made.arrive(post(3, 3))
    second, _ = made.submit()
    assert second
    made.publish(second)
    return made, second


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather_rounds, "ROUND_WAIT_S", 0.0)
    monkeypatch.setattr(gather_rounds, "LAST_WAIT_S", 0.0)
    monkeypatch.setattr(gathering, "WAIT_S", 0.3)
    monkeypatch.setattr(duckdb_file, "QUIET_S", 0.0)
    monkeypatch.setattr(duckdb_file, "LOCK_WAIT_S", 0.3)


@BOTH_WAYS
def test_a_round_of_cron_is_still_under_way_and_the_next_one_gathers(
    published: tuple[GrowingBacklog, Run], read_only: bool
) -> None:
    made, run = published
    database = made.bench.folder / "labels.duckdb"
    with held(database, read_only=read_only) as holder:
        done = made.bench.hpc("supervise", "--once", run.folder, "--json")
        assert outcome(done)[0] == 3
        assert json.loads(done.stdout)["state"] == "complete"
        assert json.loads(done.stdout)["awaits_database"]
        assert str(holder.pid) in done.stderr
        assert holder.let_go() == "[(2,)]"
    done = made.bench.hpc("supervise", "--once", run.folder, "--json")
    assert outcome(done)[0] == 0
    assert not json.loads(done.stdout)["awaits_database"]
    assert made.query("SELECT count(*) FROM labels_test") == [(3,)]


def test_a_run_that_needs_a_person_says_so_next_to_an_open_notebook(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.config(posts=4)
    assert bench.submit("--limit", 2).returncode == 0
    bench.config(retry={"max_attempts": 1})
    bench.script(0, "fail")
    with held(tmp_path / "labels.duckdb"):
        driver = bench.start("submit", "--config", bench.path)
        wait_until(lambda: len(bench.runs()) == 2 and bench.states()[0][0] == "blocked")
        driver.terminate()
        ended(driver)
        done = bench.hpc("supervise", "--once")
    assert outcome(done)[0] == 1


@BOTH_WAYS
def test_gather_waits_and_says_for_whom_then_exits_with_1(
    published: tuple[GrowingBacklog, Run], read_only: bool
) -> None:
    made, run = published
    database = made.bench.folder / "labels.duckdb"
    with held(database, read_only=read_only) as holder:
        code, complaint = outcome(done := made.bench.hpc("gather", run.folder))
        assert code == 1
        assert str(holder.pid) in complaint
        assert str(holder.pid) in done.stdout
    assert made.bench.document("gather", run.folder)["rows_added"] == 1


def test_resubmission_goes_on_and_the_labels_are_gathered_once_the_notebook_is_closed(
    tmp_path: Path,
) -> None:
    """The run begins, fails, is resubmitted and ends while the notebook is open."""
    bench = Bench(tmp_path)
    bench.config(posts=6)
    assert bench.submit("--limit", 2).returncode == 0
    bench.script(0, "fail")
    with held(tmp_path / "labels.duckdb") as holder:
        driver = bench.start("submit", "--config", bench.path)
        wait_until(
            lambda: len(bench.runs()) == 2 and {state for state, *_ in bench.states()} == {"done"},
            "both shards",
            task=driver,
        )
        assert holder.let_go() == "[(2,)]"
    assert outcome(ended(driver)) == (0, "")
    assert bench.states() == [("done", None, 2), ("done", None, 1)]
    assert bench.query("SELECT count(*) FROM labels_test") == [(6,)]


def test_a_caretaker_leaves_the_waiting_to_the_next_one(
    published: tuple[GrowingBacklog, Run],
) -> None:
    made, run = published
    lines: list[str] = []
    with (
        held(made.bench.folder / "labels.duckdb"),
        run_lock.lock_run(run) as lock,
        pytest.raises(HeldDatabaseError),
    ):
        loop.supervise(
            run, LocalExecutor(), lock, PlainLines(lines.append), hand_over=lambda status: False
        )


def test_supervision_names_a_holder_once(
    published: tuple[GrowingBacklog, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, run = published
    lines: list[str] = []
    rounds: list[int] = []
    look = loop.look
    with held(made.bench.folder / "labels.duckdb") as holder:

        def look_and_let_go(*arguments: object, **options: object) -> object:
            rounds.append(len(lines))
            if len(rounds) == 6:
                holder.let_go()
            return look(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(loop, "look", look_and_let_go)
        with run_lock.lock_run(run) as lock:
            end = loop.supervise(run, LocalExecutor(), lock, PlainLines(lines.append))
    assert end.exit_code == 0
    assert sum(str(holder.pid) in line for line in lines) == 1
