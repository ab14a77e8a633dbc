"""Posts that kill their task twice are set aside, and all other posts are labeled."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import Cause
from pipeline.run_files import heartbeat, last_words
from pipeline.run_files.manifest import work_path
from pipeline.worker import crash_journal
from tests.pipeline import scripted_classifier, task_processes
from tests.pipeline.run_builders import make_run, order, posts, uri
from tests.pipeline.worker.scripted_runs import labels_and_reasons, own_texts, scripted_run
from tests.servers.perspective import Fault, PerspectiveServer
from tests.waiting import wait_until

POISON = "poison: the task died at this post in submissions "


def run_attempt(run_dir: Path, attempt: int, site: Path, *, crashed: str = "", **env: str) -> int:
    """Run one attempt; return its exit code."""
    work_order = replace(order(run_dir, attempt=attempt), crashed=crashed)
    code, _, _ = task_processes.run_forked(work_order, site, **env)
    return code


CRASHES = [("kill", -signal.SIGKILL), ("exit", 9), ("raise", 1), ("own", 1)]


@pytest.mark.parametrize(("how", "code"), CRASHES)
def test_a_post_that_kills_its_task_twice_is_set_aside(
    tmp_path: Path, classifier_path: Path, how: str, code: int
) -> None:
    run_dir, run = scripted_run(tmp_path, 20, rows=3, seconds=0.02, deadly={uri(7): how})
    work = work_path(run_dir, 0)
    assert run_attempt(run_dir, 1, classifier_path) == code
    assert crash_journal.solo_attempts_by_attempt(task_processes.names_in(work)) == {}
    suspects = crash_journal.read_evidence(work, [1]).suspects  # more than one on a busy machine
    assert run_attempt(run_dir, 2, classifier_path, crashed="1") == code
    assert crash_journal.solo_attempts_by_attempt(task_processes.names_in(work)) == {2: 1}
    others = {uri(post) for post in range(20) if post not in suspects}
    assert others <= scripted_classifier.asked(tmp_path).keys(), "suspects are asked last"
    assert run_attempt(run_dir, 3, classifier_path, crashed="1,2") == 0
    assert labels_and_reasons(run_dir, run) == own_texts(20, {7: f"{POISON}1 and 2"})
    assert list(work.iterdir()) == []
    assert scripted_classifier.asked(tmp_path)[uri(7)] == 2


def test_a_harmless_suspect_is_labeled(tmp_path: Path, classifier_path: Path) -> None:
    """Four posts are in flight when the sixth one kills the task; all are asked alone next."""
    deadly = {uri(5): "kill"}
    run_dir, run = scripted_run(tmp_path, 12, rows=3, at_once=4, seconds=0.1, deadly=deadly)
    assert run_attempt(run_dir, 1, classifier_path) == -signal.SIGKILL
    suspects = crash_journal.read_evidence(work_path(run_dir, 0), [1]).suspects
    assert {5} < suspects.keys() <= set(range(4, 12))
    assert run_attempt(run_dir, 2, classifier_path, crashed="1") == -signal.SIGKILL
    assert run_attempt(run_dir, 3, classifier_path, crashed="1,2") == 0
    assert labels_and_reasons(run_dir, run) == own_texts(12, {5: f"{POISON}1 and 2"})


def test_several_deadly_posts_cost_one_more_attempt_each(
    tmp_path: Path, classifier_path: Path
) -> None:
    deadly = {uri(2): "kill", uri(9): "raise", uri(17): "exit"}
    run_dir, run = scripted_run(tmp_path, 20, rows=3, at_once=20, seconds=0.2, deadly=deadly)
    crashed = ""
    codes = []
    for attempt in range(1, 9):
        codes.append(run_attempt(run_dir, attempt, classifier_path, crashed=crashed))
        if not codes[-1]:
            break
        crashed = ",".join(filter(None, (crashed, str(attempt))))
    assert len(codes) == 5
    rows = labels_and_reasons(run_dir, run)
    reasons = {at_uri: reason for at_uri, (_, reason) in rows.items() if reason}
    assert reasons.keys() == deadly.keys()
    assert all(reason.startswith("poison: ") for reason in reasons.values())
    assert len(rows) == 20


def test_attempts_that_did_not_crash_name_no_suspects(
    tmp_path: Path, classifier_path: Path
) -> None:
    """They were preempted or lost with their node while a harmless post was in flight."""
    run_dir, run = scripted_run(tmp_path, 6, rows=3, answered=3)
    work = work_path(run_dir, 0)
    task = task_processes.start(order(run_dir), classifier_path)
    wait_until(
        lambda: task_processes.rows_in(work) == 3 and uri(3) in scripted_classifier.asked(tmp_path),
        task=task,
    )
    task_processes.kill(task)
    (work / "0001-00004.trial").touch()
    suspects = crash_journal.read_evidence(work, [1]).suspects
    assert suspects.keys() >= {3, 4}, "if attempt 1 had crashed"
    code, out, _ = task_processes.run_forked(order(run_dir, attempt=2), classifier_path)
    assert (code, "after crashes" in out) == (0, False)
    assert labels_and_reasons(run_dir, run) == own_texts(6)


def test_a_requeued_attempt_does_not_suspect_its_own_posts(
    tmp_path: Path, classifier_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    run_dir, run = scripted_run(tmp_path, 6, rows=3, answered=3, gate=str(gate))
    work = work_path(run_dir, 0)
    task = task_processes.start(order(run_dir), classifier_path)
    wait_until(
        lambda: task_processes.rows_in(work) == 3 and uri(3) in scripted_classifier.asked(tmp_path),
        task=task,
    )
    task_processes.kill(task)
    (work / "0001-00003.trial").touch()
    assert len(list(work.glob("0001-*.in-hand"))) == 1
    gate.unlink()
    second = task_processes.start(order(run_dir), classifier_path)
    wait_until(lambda: scripted_classifier.asked(tmp_path)[uri(3)] == 2, task=second)
    assert crash_journal.solo_attempts_by_attempt(task_processes.names_in(work)) == {}
    assert len(list(work.glob("0001-*.in-hand"))) == 1
    gate.touch()
    assert task_processes.finished(second)[0] == 0
    assert labels_and_reasons(run_dir, run) == own_texts(6)


@pytest.mark.parametrize("how", ["service", "memory"])
def test_a_failure_of_the_service_or_of_memory_blames_no_post(
    tmp_path: Path, classifier_path: Path, how: str
) -> None:
    run_dir, _ = scripted_run(tmp_path, 6, rows=3, deadly={uri(3): how})
    work = work_path(run_dir, 0)
    for attempt in (1, 2, 3):
        assert (
            run_attempt(run_dir, attempt, classifier_path, crashed="1,2"[: max(0, 2 * attempt - 3)])
            == 1
        )
        assert crash_journal.read_evidence(work, [attempt]).suspects == {}
    assert list(work.glob("*.trial")) == []


FULL = "open('/dev/full', 'wb', 0).write(b'x')"
SHORT_WAITS = (
    "import os, sys; "
    "from pipeline.worker import answer_keeper, classifier_thread, process as worker; "
    "from pipeline.run_files.checkpoints.checkpoint import Checkpoint; "
    "from pipeline.worker.crash_journal import CrashJournal; "
    "answer_keeper.FINAL_SECONDS = answer_keeper.FIRST_PAUSE = 0.1; "
    "classifier_thread.DRAIN_SECONDS = 0.5; "
)


def waits_for_disk(run_dir: Path) -> bool:
    beat = heartbeat.read(work_path(run_dir, 0), 1)
    return beat is not None and beat.waits_for_disk


def test_a_part_that_cannot_be_written_blames_no_post(
    tmp_path: Path, classifier_path: Path
) -> None:
    """The posts in flight at that moment did not cause the error."""
    run_dir, _ = scripted_run(tmp_path, 6, rows=1, answered=1)
    program = f"{SHORT_WAITS}Checkpoint.flush = lambda self: {FULL}; "
    task = task_processes.start(order(run_dir), classifier_path, program=program)
    wait_until(lambda: waits_for_disk(run_dir), task=task)
    task.send_signal(signal.SIGUSR2)
    assert task_processes.finished(task)[0] == 1
    words = last_words.read(run_dir, 1, 0)
    assert words is not None
    assert words.cause is Cause.TIMEOUT
    assert list(work_path(run_dir, 0).glob("*.in-hand")) == []


def test_a_crash_journal_that_cannot_be_written_loses_no_answer(
    tmp_path: Path, classifier_path: Path
) -> None:
    """The disk is full when the first answer comes, and three others are under way."""
    run_dir, run = scripted_run(tmp_path, 12, rows=100, at_once=4, seconds=0.1)
    program = (
        f"{SHORT_WAITS}real, full = CrashJournal.record_answered, lambda *_: {FULL}; "
        "CrashJournal.record_answered = lambda *of: (setattr(os, 'pwrite', full), real(*of)); "
    )
    task = task_processes.start(order(run_dir), classifier_path, program=program)
    wait_until(lambda: waits_for_disk(run_dir), task=task)
    task.send_signal(signal.SIGUSR2)
    assert task_processes.finished(task)[0] == 1
    paid = scripted_classifier.asked(tmp_path)
    assert task_processes.rows_in(work_path(run_dir, 0)) == paid.total() == 4
    assert run_attempt(run_dir, 2, classifier_path) == 0
    assert labels_and_reasons(run_dir, run) == own_texts(12)
    assert scripted_classifier.asked(tmp_path).most_common(1)[0][1] == 1


@pytest.mark.parametrize("left", ["0001-aaaaaaaa.in-hand", "0001-00001.trial"])
def test_a_post_with_a_saved_answer_is_never_a_suspect(
    tmp_path: Path, classifier_path: Path, left: str
) -> None:
    """The journal may lack an answer that the checkpoint has."""
    run_dir, run = scripted_run(tmp_path, 6, rows=1, answered=3)
    work = work_path(run_dir, 0)
    task = task_processes.start(order(run_dir), classifier_path)
    wait_until(
        lambda: task_processes.rows_in(work) == 3 and uri(3) in scripted_classifier.asked(tmp_path),
        task=task,
    )
    task_processes.kill(task)
    for path in work.glob("*.in-hand"):
        path.unlink()
    (work / left).write_bytes(bytes([0, crash_journal.IN_FLIGHT, 0, 0, 0, 0]))
    code, out, _ = task_processes.run_forked(
        replace(order(run_dir, attempt=2), crashed="1"), classifier_path
    )
    assert (code, "0 posts set aside" in out) == (0, left.endswith(".in-hand"))
    assert labels_and_reasons(run_dir, run) == own_texts(6)
    assert scripted_classifier.asked(tmp_path)[uri(1)] == 1


def impatient(url: str, in_flight: int) -> dict[str, object]:
    """Return the options of Perspective without waits between two attempts at a request."""
    return {**task_processes.perspective(url, in_flight), "type": "impatient_perspective"}


def test_a_post_that_alone_gets_a_500_gets_a_reason(tmp_path: Path) -> None:
    """While others are answered, a 500 is the post's own; a probe stands in for the last post."""

    def fault(text: str, nth: int) -> Fault | None:
        return Fault(status=500) if text == "what a fine day 3" else None

    with PerspectiveServer(faults=fault) as server:
        run_dir, run = make_run(
            tmp_path,
            posts(4),
            classifier=impatient(server.url, 1),
            checkpoint_rows=1,
        )
        task = task_processes.start(order(run_dir), TEST_KEY=server.key)
        assert task_processes.finished(task)[0] == 0
    rows = labels_and_reasons(run_dir, run, "prob_toxic")
    reasons = {at_uri: reason for at_uri, (_, reason) in rows.items() if reason}
    assert reasons == {uri(3): "http_500"}


def test_no_post_is_set_aside_during_an_outage(tmp_path: Path) -> None:
    with PerspectiveServer(faults=lambda text, nth: Fault(status=500)) as server:
        run_dir, run = make_run(
            tmp_path,
            posts(4),
            classifier=impatient(server.url, 4),
            checkpoint_rows=1,
        )
        for attempt, crashed in ((1, ""), (2, "1"), (3, "1,2")):
            work_order = replace(order(run_dir, attempt=attempt), crashed=crashed)
            task = task_processes.start(work_order, TEST_KEY=server.key)
            assert task_processes.finished(task)[0] == 1
        server.faults = None
        work_order = replace(order(run_dir, attempt=4), crashed="1,2,3")
        assert (
            task_processes.finished(task_processes.start(work_order, TEST_KEY=server.key))[0] == 0
        )
    assert not any(reason for _, reason in labels_and_reasons(run_dir, run, "prob_toxic").values())
