"""Deaths and interruptions at every step: nothing lost, nothing paid for twice, never two at it."""

import itertools
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import duckdb
import pytest

from hpc.locks import run_lock
from hpc.run import run_folder
from pipeline.run_files.manifest import work_path
from tests.hpc.cli_bench import Bench, ended, exit_code, once, outcome, uris
from tests.hpc.processes import started, tasks_of
from tests.pipeline.run_builders import uri
from tests.pipeline.task_processes import rows_in
from tests.waiting import wait_until


def labeled(bench: Bench, posts: int) -> bool:
    rows = bench.query("SELECT count(*), count(DISTINCT uri) FROM labels_test")
    return rows == [(posts, posts)] and {state for state, _, _ in bench.states()} == {"done"}


def until_free(run: Path) -> None:
    """Until driver and tasks have ended: the command line of one that dies goes before its lock."""
    wait_until(lambda: not run_lock.is_locked(run_folder.load(run)), "nobody holds the run")


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
    ids=["Ctrl-C", "SIGTERM", "closed terminal"],
)
def test_an_interrupted_submit_ends_its_tasks_and_the_same_command_resumes(
    bench: Bench, number: signal.Signals
) -> None:
    bench.config(posts=40, classifier={"seconds": 0.3})
    driver = started(bench, 2)
    wait_until(lambda: len(bench.asked()) >= 6, "some posts were asked")
    driver.send_signal(number)
    done = ended(driver)
    assert exit_code(done) == 130
    assert tasks_of(bench.folder) == {}
    assert bench.states() == [("failed", "preempted", 1), ("failed", "preempted", 1)]
    (run,) = bench.runs()
    kept = sum(rows_in(work_path(run, shard)) for shard in (0, 1))
    assert 6 <= len(bench.asked()) == kept < 40
    bench.hurry()
    again = bench.submit()
    assert outcome(again) == (0, "")
    assert bench.runs() == [run]
    assert labeled(bench, 40)
    assert bench.asked() == once(40)


def test_after_a_second_ctrl_c_submit_exits_at_once_and_its_tasks_end_by_themselves(
    bench: Bench,
) -> None:
    """A service takes its time; whoever does not want to wait for it loses nothing either."""
    gate = bench.folder / "gate"
    bench.config(posts=10, classifier={"gate": str(gate)}, retry={"max_attempts": 1})
    driver = started(bench, 2)
    wait_until(lambda: len(bench.asked()) == 2, "both wait for an answer")
    driver.send_signal(signal.SIGINT)
    (run,) = bench.runs()
    records = list((run / "logs" / "0001").glob("[0-9]*.task.json"))
    wait_until(
        lambda: all('"told_to_stop": true' in record.read_text() for record in records),
        "it is noted",
    )
    driver.send_signal(signal.SIGINT)
    assert exit_code(ended(driver)) == 130
    assert len(tasks_of(bench.folder)) == 2
    assert exit_code(bench.submit()) == 3
    gate.touch()
    until_free(run)
    assert bench.states() == [("failed", "preempted", 1), ("failed", "preempted", 1)]
    assert len(bench.asked()) == sum(rows_in(work_path(run, shard)) for shard in (0, 1)) == 2
    assert outcome(bench.submit()) == (0, "")
    assert labeled(bench, 10)
    assert bench.asked() == once(10)


def test_an_interrupted_submit_with_a_limit_is_resumed_without_taking_more_posts(
    bench: Bench,
) -> None:
    bench.config(posts=40, classifier={"seconds": 0.3})
    driver = started(bench, 2, "--limit", 30)
    driver.send_signal(signal.SIGINT)
    assert exit_code(ended(driver)) == 130
    bench.hurry()
    assert outcome(bench.hpc("supervise", "--config", bench.path)) == (0, "")
    assert bench.asked() == once(30)


def test_shards_that_never_started_have_used_up_no_attempt(bench: Bench) -> None:
    bench.config(
        posts=30,
        sharding={"shards": 3},
        cluster={"max_parallel": 1},
        classifier={"seconds": 0.3},
        retry={"max_attempts": 1},
    )
    driver = started(bench, 1)
    driver.send_signal(signal.SIGINT)
    assert ended(driver).returncode == 130
    assert bench.states() == [("failed", "preempted", 1)] * 3
    bench.hurry()
    assert outcome(bench.hpc("supervise")) == (0, "")
    assert bench.asked() == once(30)


def test_tasks_outlive_a_killed_driver_and_block_another_submission(bench: Bench) -> None:
    gate = bench.folder / "gate"
    bench.config(posts=9, sharding={"shards": 3}, classifier={"gate": str(gate)})
    driver = started(bench, 2)
    driver.kill()
    assert ended(driver).returncode == -signal.SIGKILL
    (run,) = bench.runs()
    for verb in ("supervise", "resubmit"):
        assert exit_code(bench.hpc(verb)) == 1
    submitted = bench.document("submit", "--config", bench.path, code=3)
    assert (submitted["run_id"], submitted["posts"]) == (None, 0)
    assert exit_code(bench.hpc("status")) == 3
    assert bench.states() == [("running", None, 1), ("running", None, 1), ("queued", None, 1)]
    gate.touch()
    until_free(run)
    assert bench.states() == [("done", None, 1), ("done", None, 1), ("failed", "preempted", 1)]
    assert outcome(bench.submit()) == (0, "")
    assert labeled(bench, 9)
    assert bench.asked() == once(9)


def test_a_killed_task_resumes_from_its_checkpoint(bench: Bench) -> None:
    """When it hangs at the eighth of ten posts, seven answers are on the disk."""
    bench.config(
        posts=10, sharding={"shards": 1}, checkpoint={"rows": 3}, classifier={"answered": 7}
    )
    driver = started(bench, 1)
    wait_until(lambda: uri(7) in bench.asked(), "seven answers")
    (task,) = tasks_of(bench.folder)
    os.kill(task, signal.SIGKILL)
    assert outcome(ended(driver)) == (0, "")
    assert bench.states() == [("done", None, 2)]
    assert labeled(bench, 10)
    assert bench.asked() == once(10) + Counter(uris(1, first=7))


def test_a_run_resumes_from_its_checkpoint_after_driver_and_tasks_were_killed_together(
    bench: Bench,
) -> None:
    """As when the machine goes down."""
    bench.config(
        posts=10, sharding={"shards": 1}, checkpoint={"rows": 3}, classifier={"answered": 7}
    )
    driver = started(bench, 1)
    (run,) = bench.runs()
    wait_until(lambda: uri(7) in bench.asked(), "seven answers")
    driver.kill()
    for task in tasks_of(bench.folder):
        os.kill(task, signal.SIGKILL)
    ended(driver)
    until_free(run)
    assert bench.states() == [("failed", "lost", 1)]
    assert outcome(bench.submit()) == (0, "")
    assert bench.asked() == once(10) + Counter(uris(1, first=7))


# Once imported, each submit is a fork: the import takes longer than the submit.
DYING = """
import gc, os, signal, sys
from hpc.command_line import cli
from hpc import submit
gc.freeze()
for line in sys.stdin:
    if not os.fork():
        break
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
else:
    sys.exit()
os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
folder, left = line.split()
left = int(left)
os.chdir(folder)
def dying(rename):
    def call(*paths, **options):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(*paths, **options)
    return call
os.replace, os.rename = dying(os.replace), dying(os.rename)
cli.main(submit.VERB, ["--config", "run.yaml"])
"""


@pytest.fixture
def dying_submit(tmp_path: Path) -> Iterator[Callable[[Path, int], int]]:
    """Return what submits in a folder, dies at the given rename and returns the exit code."""
    (tmp_path / "program").mkdir()
    program = subprocess.Popen(
        [sys.executable, "-c", DYING], env=Bench(tmp_path / "program").env, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert program.stdin
    assert program.stdout

    def submit(folder: Path, step: int) -> int:
        print(folder, step, file=program.stdin, flush=True)
        return int(program.stdout.readline())

    yield submit
    program.communicate()


def test_the_next_submit_recovers_from_a_submit_that_died_at_any_step(
    tmp_path: Path, dying_submit: Callable[[Path, int], int]
) -> None:
    """Every step of a submit ends with a rename, by which a file or a folder appears whole."""
    for step in itertools.count(1):
        folder = tmp_path / str(step)
        folder.mkdir()
        bench = Bench(folder)
        bench.config(posts=6, sharding={"shards": 1})
        code = dying_submit(folder, step)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        left_behind = bench.runs()
        for run in left_behind:
            until_free(run)
        assert outcome(bench.submit()) == (0, ""), step
        assert len(bench.runs()) == 1
        assert bench.runs() == left_behind or not left_behind
        assert labeled(bench, 6)
        assert bench.asked() == once(6)
    assert step > 9, "planning, submission, the task's record: fewer steps than there are"


def sizes(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def test_planning_that_is_interrupted_during_a_query_leaves_nothing_behind(
    bench: Bench,
) -> None:
    """DuckDB answers a signal with a RuntimeError of its own."""
    many = "SELECT 'at://' || i AS uri, 'a fine day' AS text, '2024-05-31' AS t FROM range(3000000)"
    many += " AS numbers(i)"
    duckdb.sql(f"COPY ({many}) TO '{bench.folder}/posts.parquet'")
    columns = {"preprocessing_timestamp": "t"}
    bench.config(backlog={"source": "posts.parquet", "columns": columns})
    driver = bench.start("submit", "--config", bench.path)
    root = bench.folder / "runs"
    wait_until(
        lambda: sizes(root.glob(".planning-*/staging/*")) > 1_000_000, "it reads the backlog"
    )
    driver.send_signal(signal.SIGINT)
    done = ended(driver)
    assert exit_code(done) == 130
    assert (done.stdout, list(root.iterdir())) == ("", [root / ".lock"])


def test_a_superseded_run_that_is_blocked_is_not_resumed(bench: Bench) -> None:
    """Each plain submit took it up again, and ended as it did: blocked, or with labels of the old
    question, paid for beside the new ones."""
    bench.config(posts=4, retry={"max_attempts": 1})
    bench.script(1, "fail")
    assert outcome(bench.submit()) == (1, "")
    bench.config(classifier={"seconds": 0.001})
    assert outcome(bench.submit("--supersede")) == (0, "")
    assert bench.document("submit", "--config", bench.path)["run_id"] is None
    assert len(bench.runs()) == 2
    assert bench.asked() == once(4) + Counter(uris(2))  # the old run's shard that was done


def test_only_one_submit_plans_at_a_time(bench: Bench) -> None:
    bench.config(posts=6)
    root = bench.folder / "runs"
    with run_lock.locked(root, "nobody else is here"):
        before = bench.listing()
        assert exit_code(bench.submit()) == 1
        assert bench.listing() == before


def test_submits_at_the_same_moment_label_every_post_once(bench: Bench) -> None:
    bench.config(posts=20, classifier={"seconds": 0.01})
    submits = [bench.start("submit", "--config", bench.path, "--json") for _ in range(3)]
    done = [ended(submit) for submit in submits]
    for submit in done:
        # One labels them; the others say that somebody plans (1) or labels (3), or all is done.
        assert exit_code(submit) in (0, 3) or "planning" in submit.stderr, submit
    finished = [submit for submit in done if submit.returncode != 1]
    assert sum(json.loads(submit.stdout)["posts"] for submit in finished) == 20
    assert len(bench.runs()) == 1
    assert labeled(bench, 20)
    assert bench.asked() == once(20)
