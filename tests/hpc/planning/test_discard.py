"""A wrong configuration, mended: what came to nothing is out of the way, what did not is kept."""

import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from hpc.run import run_folder
from pipeline.run_files.manifest import work_path
from tests.hpc.cli_bench import Bench, once, said
from tests.hpc.conftest import Here
from tests.hpc.processes import started, until
from tests.pipeline import run_builders
from tests.pipeline.task_processes import rows_in

CHANGES: list[tuple[dict[str, Any], str]] = [
    # Another question, and one that is asked in another way only.
    ({"classifier": {"seconds": 0.001}}, "classifier.seconds"),
    ({"cluster": {"max_parallel": 1}}, "cluster.max_parallel"),
    ({"cluster": {"time_min": 5}}, "cluster.time_min"),
    ({"backlog": {"min_text_length": 4}}, "backlog.min_text_length"),
]


@pytest.fixture
def refused(bench: Bench) -> Path:
    """A run whose service refused it: of six posts one needed no asking."""
    bench.config()
    bench.backlog([*run_builders.posts(5), run_builders.posts(1, first=5)[0]._replace(text="meh")])
    bench.tell(0, "refuse")
    bench.tell(1, "refuse")
    assert said(bench.submit()) == (1, "")
    for shard in (0, 1):  # one may have been stopped by the other before it came to its word
        bench.tell(shard, "")
    (run,) = bench.runs()
    assert bench.asked() == {}
    return run


@pytest.mark.parametrize(("changed", "key"), CHANGES)
def test_a_run_that_came_to_nothing_is_set_aside_once_its_configuration_is_another(
    bench: Bench, here: Here, refused: Path, changed: dict[str, Any], key: str
) -> None:
    bench.config(**changed)
    told = f"run {refused.name} came to nothing, and had another configuration ({key}): "
    before = bench.listing()
    dry = here("submit", "--config", bench.path, "--dry-run")
    assert said(dry) == (0, "")
    assert dry.stdout.splitlines()[1] == f"{told}it would be set aside"
    assert " 0 labelled or in an unfinished run, 0 left out by --limit, 6 to label\n" in dry.stdout
    assert bench.listing() == before
    done = bench.submit()
    assert said(done) == (0, "")
    aside = bench.folder / "runs" / "set-aside" / refused.name
    assert done.stdout.splitlines()[0] == f"{told}set aside, with its logs, as {aside}"
    (run,) = bench.runs()
    assert bench.asked() == once(5)
    assert bench.query("SELECT count(*), count(DISTINCT uri) FROM labels_test") == [(6, 6)]
    assert bench.query("SELECT DISTINCT run_id FROM shards") == [(run.name,)]
    assert bench.document("audit", "--config", bench.path)["whole"]
    # Its logs are there, and nobody can go on with it.
    assert list((aside / "logs" / "0001").glob("*.log"))
    assert said(here("resubmit", "--force", aside))[0] == 2
    assert said(bench.submit()) == (0, "")
    assert bench.runs() == [run]


def left_alone(bench: Bench, run: Path) -> str:
    """What a submit with a mended configuration says; the run is where it was."""
    done = bench.submit()
    assert "Traceback" not in done.stdout + done.stderr
    assert run in bench.runs()
    assert "set aside, with its logs" not in done.stdout
    assert not (bench.folder / "runs" / "set-aside").exists()
    return done.stdout + done.stderr


def test_with_the_same_configuration_it_waits_for_a_person(bench: Bench, refused: Path) -> None:
    told = left_alone(bench, refused)
    assert (
        "if the configuration was wrong: mend it and submit again (a run without any answer is set "
        "aside then, unless its name has labels or another run); this one goes on as it was "
        "configured\n"
        f"next: python -m hpc.resubmit --force {refused}\n"
    ) in told


def test_beside_a_run_of_new_posts_it_is_told_why_that_was_not_all(
    bench: Bench, refused: Path
) -> None:
    """A key that was mended in the environment changes no configuration: the new posts' run is
    complete, and the exit code is the other's."""
    bench.backlog([*run_builders.posts(5), *run_builders.posts(4, first=20)])
    done = bench.submit()
    assert said(done) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"run {refused} waits for a person, and its posts with it: see at the end"
    assert f"run {bench.runs()[1].name}: complete" in lines
    at = lines.index(f"run {refused.name}: blocked")
    assert lines[-1] == f"next: python -m hpc.resubmit --force {refused}"
    assert any("wants no more of this" in line for line in lines[at:])


def test_a_run_that_has_an_answer_is_kept(bench: Bench) -> None:
    """It was paid for: whatever becomes of it is for a person to say."""
    bench.config(posts=40, classifier={"seconds": 0.3})
    driver = bench.start("submit", "--config", bench.path)
    until(lambda: len(bench.asked()) >= 6, "some posts were asked")
    driver.send_signal(signal.SIGTERM)
    driver.communicate()
    (run,) = bench.runs()
    kept = sum(rows_in(work_path(run, shard)) for shard in (0, 1))
    assert kept == len(bench.asked()) > 0
    for shard in (0, 1):
        bench.tell(shard, "refuse")
    assert said(bench.submit()) == (1, "")
    bench.config(classifier={"seconds": 0.001})
    assert "made with another configuration" in left_alone(bench, run)
    bench.config(classifier={"seconds": 0.3}, cluster={"max_parallel": 1})
    left_alone(bench, run)
    assert sum(rows_in(work_path(run, shard)) for shard in (0, 1)) == kept


def test_nobody_is_told_to_mend_a_configuration_that_has_labelled_a_shard(bench: Bench) -> None:
    bench.config(posts=4, cluster={"max_parallel": 1})
    bench.tell(1, "refuse")
    done = bench.submit()
    assert said(done) == (1, "")
    assert bench.states() == [("done", None, 1), ("blocked", "refused", 1)]
    assert "mend it" not in done.stdout


def test_a_file_that_cannot_be_read_may_hold_an_answer(bench: Bench, refused: Path) -> None:
    work = work_path(refused, 0)
    work.mkdir(parents=True, exist_ok=True)  # not there where the other shard's refusal came first
    (work / "0001-00000-3.parquet").write_text("cut off")
    bench.config(cluster={"max_parallel": 1})
    left_alone(bench, refused)


@pytest.mark.parametrize("folder", ["is there", "is gone"])
def test_under_a_name_that_has_labels_nothing_is_set_aside(bench: Bench, folder: str) -> None:
    """Its watermark might pass over the posts."""
    bench.config(posts=2)
    assert said(bench.submit()) == (0, "")
    if folder == "is gone":
        shutil.rmtree(bench.runs()[0])
    bench.backlog(run_builders.posts(4))
    bench.tell(0, "refuse")
    bench.tell(1, "refuse")
    assert said(bench.submit()) == (1, "")
    run = bench.runs()[-1]
    bench.config(cluster={"max_parallel": 1})
    left_alone(bench, run)


def test_a_run_in_other_hands_is_left_there(bench: Bench, refused: Path) -> None:
    bench.config(cluster={"max_parallel": 1})
    with run_folder.lock_run(run_folder.load(refused)):
        assert "is in the hands of another process" in left_alone(bench, refused)


def test_answers_that_may_be_on_their_way_are_waited_for(bench: Bench, here: Here) -> None:
    """A shared file system shows a node's files late: `grace_seconds`."""
    bench.config(posts=4, cluster={"grace_seconds": 600.0})
    bench.tell(0, "refuse")
    bench.tell(1, "refuse")
    assert said(bench.submit()) == (1, "")
    (run,) = bench.runs()
    bench.config(cluster={"grace_seconds": 600.0, "max_parallel": 1})
    told = f"run {run.name} came to nothing, and had another configuration (cluster.max_parallel)"
    code, words = said(here("submit", "--config", bench.path))
    assert code == 1
    when = r"in (600|5\d\d) s, when no more of its files can show"
    assert re.fullmatch(rf"error: {re.escape(told)}: submit sets it aside {when}\n", words)
    assert bench.runs() == [run]
    dry = here("submit", "--config", bench.path, "--dry-run").stdout.splitlines()[1]
    assert re.fullmatch(rf"{re.escape(told)}: it would be set aside {when}", dry)


def test_new_posts_wait_while_a_refused_runs_tasks_may_still_be_at_work(
    bench: Bench, here: Here
) -> None:
    """Planned now they would be another run of the name, and the refused one's posts be stuck."""
    gate = bench.folder / "gate"
    gated = {"gate": str(gate)}
    bench.config(posts=4, cluster={"grace_seconds": 600.0}, classifier=gated)
    bench.tell(0, "refuse")
    bench.tell(1, "die")
    driver = started(bench, 2)  # one that starts after the refusal is refused too
    gate.touch()
    ended = [("blocked", "refused", 1), ("queued", None, 1)]
    until(lambda: bench.runs() and bench.states() == ended, "both tasks have ended")
    driver.send_signal(signal.SIGTERM)
    driver.communicate()
    (run,) = bench.runs()
    assert bench.states() == ended
    bench.backlog(run_builders.posts(6))
    bench.config(cluster={"grace_seconds": 600.0, "max_parallel": 1}, classifier=gated)
    told = f"run {run.name} came to nothing, and had another configuration (cluster.max_parallel)"
    when = f"once its tasks have ended (python -m hpc.cancel {run} ends them)"
    assert said(here("submit", "--config", bench.path)) == (
        1,
        f"error: {told}: submit sets it aside {when}\n",
    )
    assert bench.runs() == [run]
    dry = here("submit", "--config", bench.path, "--dry-run").stdout.splitlines()[1]
    assert dry == f"{told}: it would be set aside {when}"
