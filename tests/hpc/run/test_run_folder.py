"""A run's folder: found, locked, and the records of what was submitted."""

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpc.locks import run_lock
from hpc.run import run_folder, submissions
from hpc.run.array_plan import next_number
from hpc.run.model import ArrayPlan, ResourceRequest, Run, Submission
from hpc.runs import find_runs
from pipeline.errors import BusyError, InputError, RunError, UnreadableError
from tests.pipeline import run_builders

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
PLAN = ArrayPlan(offset=1001, indices=(3, 7, 8, 9), throttle=2, parallel_tasks=8)
OTHER = "20240602T120000-valence-89abcdef"

plans = st.builds(
    ArrayPlan,
    offset=st.integers(0, 10**6),
    indices=st.sets(st.integers(0, 2000), min_size=1).map(lambda drawn: tuple(sorted(drawn))),
    throttle=st.integers(1, 200),
    parallel_tasks=st.integers(1, 200),
    after=st.integers(0, 50),
    after_jobs=st.lists(st.from_regex(r"[0-9]{1,8}(_[0-9]+)?", fullmatch=True), max_size=3).map(
        tuple
    ),
    request=st.builds(
        ResourceRequest,
        mem_gb=st.none() | st.floats(0.1, 4000),
        time_min=st.integers(1, 10_000),
        exclude=st.lists(st.text("n0123456789", min_size=1), max_size=3).map(tuple),
    ),
    delay_s=st.integers(0, 86_400),
    why=st.text(max_size=40),
)
moments = st.datetimes(timezones=st.just(UTC))
recorded = st.builds(
    Submission,
    number=st.integers(1, 9999),
    job_name=st.text(min_size=1, max_size=40),
    plan=plans,
    intended_at=moments,
    array_job_id=st.none() | st.integers(1, 10**8),
    released_at=st.none() | moments,
    crashed=st.dictionaries(
        st.integers(0, 2000), st.lists(st.integers(1, 99), min_size=1).map(tuple), max_size=3
    ),
    forced=st.booleans(),
    restarted=st.lists(st.integers(0, 2000), max_size=3).map(tuple),
    submitter=st.none() | st.integers(0, 2**31),
)


@pytest.fixture
def run_of_two_shards(tmp_path: Path) -> Run:
    folder, _ = run_builders.make_run(tmp_path, run_builders.posts(4), shards=2)
    return run_folder.load(folder)


def refusal(error: type[Exception], act: Any, *arguments: Any) -> str:
    with pytest.raises(error) as raised:
        act(*arguments)
    return str(raised.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(recorded)
def test_a_submission_is_read_as_it_was_recorded(
    run_of_two_shards: Run, submission: Submission
) -> None:
    assert submissions.write_submission(run_of_two_shards, submission) is submission
    assert submissions.read_submissions(run_of_two_shards) == (submission,)
    submissions.withdraw_submission(run_of_two_shards, submission)
    assert submissions.read_submissions(run_of_two_shards) == ()


@pytest.mark.parametrize("place", ["", "12ab9f-"], ids=["a run", "a copy"])
def test_a_record_of_another_run_is_not_taken_for_one_of_this_run(
    run_of_two_shards: Run, place: str
) -> None:
    """Canceling this run would cancel the other one's array."""
    (intent,) = submissions.plan_intents(run_of_two_shards, (PLAN,), NOW)
    foreign = replace(intent, job_name=f"hpc-{place}{OTHER}-0001", array_job_id=4711)
    submissions.write_submission(run_of_two_shards, foreign)
    with pytest.raises(InputError, match=rf"0001\.json is a record of another run, {OTHER}\n"):
        submissions.read_submissions(run_of_two_shards)
    of_copy = intent.job_name.replace("hpc-", f"hpc-{place}")
    submissions.write_submission(run_of_two_shards, replace(foreign, job_name=of_copy))
    assert len(submissions.read_submissions(run_of_two_shards)) == 1


def test_a_record_can_be_read_by_a_person(run_of_two_shards: Run) -> None:
    plan = replace(
        PLAN,
        request=ResourceRequest(mem_gb=8.0, time_min=60, exclude=("n1",)),
        why="node: not on n1",
    )
    (intent,) = submissions.plan_intents(
        run_of_two_shards, (plan,), NOW, crashed={1004: (1, 2), 1005: (1,)}
    )
    intent = replace(intent, number=2, array_job_id=4711, released_at=NOW, restarted=(7,))
    submissions.write_submission(run_of_two_shards, intent)
    assert json.loads((run_of_two_shards.folder / "submissions" / "0002.json").read_text()) == {
        "number": 2,
        "job_name": f"hpc-{run_builders.RUN_ID}-0001",
        "array_job_id": 4711,
        "intended_at": "2026-11-24T12:00:00.123456+00:00",
        "released_at": "2026-11-24T12:00:00.123456+00:00",
        "why": "node: not on n1",
        "offset": 1001,
        "array": "3,7-9",
        "throttle": 2,
        "parallel_tasks": 8,
        "after": 0,
        "after_jobs": [],
        "mem_gb": 8.0,
        "time_min": 60,
        "exclude": ["n1"],
        "delay_s": 0,
        "crashed": {"3": [1, 2]},
        "forced": False,
        "restarted": [7],
        "submitter": os.getuid(),
    }


def test_each_intent_has_the_next_number_and_a_unique_job_name(run_of_two_shards: Run) -> None:
    (earlier,) = submissions.plan_intents(run_of_two_shards, (PLAN,), NOW)
    submissions.write_submission(run_of_two_shards, replace(earlier, number=8))
    made = submissions.plan_intents(run_of_two_shards, (PLAN, PLAN, PLAN), NOW, first_number=9)
    assert [intent.number for intent in made] == [9, 10, 11]
    assert len({intent.job_name for intent in made}) == 3
    for intent in reversed(made):
        submissions.write_submission(run_of_two_shards, intent)
    assert submissions.read_submissions(run_of_two_shards)[1:] == tuple(made)


def test_other_files_are_ignored_and_a_half_written_record_never_appears(
    run_of_two_shards: Run,
) -> None:
    (intent,) = submissions.plan_intents(run_of_two_shards, (PLAN,), NOW)
    submissions.write_submission(run_of_two_shards, intent)
    for name in (".tmp-77-0002.json", "0002.json.damaged", "notes.txt"):
        (run_of_two_shards.folder / "submissions" / name).write_text("{")
    assert submissions.read_submissions(run_of_two_shards) == (intent,)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("{", " is damaged: Input data was truncated"),
        ("[]", " is damaged: Expected `object`, got `array`"),
        ({"array": "a"}, " is damaged: 'a' is not a list of indices such as 3,7-9"),
        (
            {"intended_at": "yesterday"},
            ": intended_at: should be a time in ISO 8601, with its offset from UTC, "
            "not 'yesterday'",
        ),
        ({"offset": ...}, ": offset: is missing"),
        ({"released_at": ...}, ": released_at: is missing"),
        ({"array": ...}, ": array: is missing"),
        ({"mem_gb": "8"}, ": mem_gb: should be a number, not '8'"),
        ({"delay": 3}, ": delay: unknown key (did you mean 'delay_s'?)"),
    ],
)
def test_the_error_for_an_unreadable_record_names_the_file_and_the_keys(
    run_of_two_shards: Run, damage: Any, problem: str
) -> None:
    (intent,) = submissions.plan_intents(run_of_two_shards, (PLAN,), NOW)
    submissions.write_submission(run_of_two_shards, intent)
    path = run_of_two_shards.folder / "submissions" / "0001.json"
    if isinstance(damage, dict):
        values = {**json.loads(path.read_text()), **damage}
        damage = json.dumps({key: value for key, value in values.items() if value is not ...})
    path.write_text(damage)
    found, advice = refusal(InputError, submissions.read_submissions, run_of_two_shards).split("\n")
    assert found == f"{path}{problem}"
    assert advice.startswith("  restore the record from a backup.")


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"[" * 100_000),
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: path.write_bytes(b"\xff" * 100),
        lambda path: path.rename(path.with_name("0007.json")),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), os.mkfifo(path)),
    ],
)
def test_a_damaged_record_is_neither_believed_nor_taken_for_missing(
    run_of_two_shards: Run, damage: Callable[[Path], object]
) -> None:
    (intent,) = submissions.plan_intents(run_of_two_shards, (PLAN,), NOW)
    submissions.write_submission(run_of_two_shards, intent)
    damage(run_of_two_shards.folder / "submissions" / "0001.json")
    message = refusal(InputError, submissions.read_submissions, run_of_two_shards)
    assert " is damaged: " in message


@pytest.mark.parametrize("unreadable", ["submissions/0001.json", "submissions", "logs"])
def test_what_cannot_be_read_now_is_neither_missing_nor_damaged(
    run_of_two_shards: Run, unreadable: str
) -> None:
    """Its shards would seem planned, and be submitted again. A link to itself cannot be opened."""
    (intent,) = submissions.plan_intents(run_of_two_shards, (PLAN,), NOW)
    submissions.write_submission(run_of_two_shards, intent)
    path = run_of_two_shards.folder / unreadable
    if path.exists():
        path.rename(path.with_name("elsewhere"))
    path.symlink_to(path)
    read = submissions.find_traces if unreadable == "logs" else submissions.read_submissions
    message = refusal(UnreadableError, read, run_of_two_shards)
    assert message.startswith(f"{path} cannot be read now: ")


EVIDENCE = st.dictionaries(
    st.integers(1, 12_000),
    st.sets(
        st.sampled_from([
            "submissions/{:04d}.json", "submissions/{:04d}.json.damaged",
            "submissions/.tmp-0a1b2c3d-{:04d}.json", "logs/{:04d}/00001.last_words.json",
            "work/00001/{:04d}.heartbeat.json", "work/00000/{:04d}-1a2b3c4d-00001-7.parquet",
        ]),
        min_size=1,
    ),
    max_size=6,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(evidence=EVIDENCE, remembered=st.integers(0, 50))
def test_a_number_of_which_anything_survives_is_never_used_again(
    tmp_path: Path, evidence: dict[int, set[str]], remembered: int
) -> None:
    folder, _ = run_builders.make_run(tmp_path, run_builders.posts(4), shards=2)
    run = run_folder.load(folder)
    for number, names in evidence.items():
        for name in names:
            path = folder / name.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    traces = submissions.find_traces(run)
    last = max([remembered, *traces])
    made = submissions.plan_intents(run, (PLAN, PLAN), NOW, first_number=next_number((), last))
    numbers = {intent.number for intent in made}
    assert min(numbers) > max([0, remembered, *evidence])
    shutil.rmtree(tmp_path / "runs")
    assert traces.keys() == evidence.keys()


@pytest.mark.parametrize("name", ["00007.log", ".tmp-0a1b2c3d-00007.log", "packed.jsonl"])
def test_the_packed_log_of_a_shard_shows_a_submission_and_is_not_the_log_of_one_of_its_number(
    run_of_two_shards: Run, name: str
) -> None:
    (run_of_two_shards.folder / "logs").mkdir()
    (run_of_two_shards.folder / "logs" / name).touch()
    assert submissions.find_traces(run_of_two_shards) == {}
    assert submissions.was_submitted(run_of_two_shards)


def test_two_processes_never_take_the_same_number(run_of_two_shards: Run) -> None:
    """Some file systems do not lock between machines."""
    (intent,) = submissions.plan_intents(run_of_two_shards, (PLAN,), NOW)
    submissions.write_intent(run_of_two_shards, intent)
    other = replace(intent, forced=True)
    assert "0001.json" in refusal(BusyError, submissions.write_intent, run_of_two_shards, other)
    assert submissions.read_submissions(run_of_two_shards) == (intent,)


def test_a_withdrawn_submission_leaves_no_record(run_of_two_shards: Run) -> None:
    (intent,) = submissions.plan_intents(run_of_two_shards, (PLAN,), NOW)
    submissions.write_submission(run_of_two_shards, intent)
    logs = run_of_two_shards.folder / "logs" / "0001"
    logs.mkdir(parents=True)
    (logs / "submission.sh").touch()
    submissions.withdraw_submission(run_of_two_shards, intent)
    assert (submissions.read_submissions(run_of_two_shards), logs.exists()) == ((), False)


def test_a_run_is_chosen_by_id_or_folder_and_by_default_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "runs"
    older, _ = run_builders.make_run(tmp_path, run_builders.posts(1))
    newer, _ = run_builders.make_run(tmp_path, run_builders.posts(1), run_id=OTHER)
    (root / ".planning-20250101T000000-x").mkdir()
    (root / "20990101T000000-unfinished").mkdir()
    assert find_runs.all_runs(root) == [older, newer]
    assert find_runs.find(root, None).folder == newer
    assert find_runs.find(root, run_builders.RUN_ID).folder == older
    assert find_runs.find(Path("/nowhere"), str(older)).folder == older
    monkeypatch.chdir(older.parent)
    assert find_runs.find(Path("/nowhere"), OTHER).folder == newer


def test_codings_of_people_are_the_newest_run_only_where_there_is_no_other(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    classified, _ = run_builders.make_run(tmp_path, run_builders.posts(1))
    coded, _ = run_builders.make_run(tmp_path, run_builders.posts(1), run_id=OTHER)
    path = coded / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "classifier": {"type": "human"}}))
    assert find_runs.find(root, None).folder == classified
    assert find_runs.find(root, OTHER).folder == coded
    shutil.rmtree(classified)
    assert find_runs.find(root, None).folder == coded


def test_the_error_for_a_missing_run_says_so(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    assert find_runs.all_runs(root) == []
    assert refusal(InputError, find_runs.find, root, None).startswith(
        f"there is no run under {root}:"
    )
    assert refusal(InputError, find_runs.find, root, "x").startswith("there is no run x")


def test_a_copy_of_a_run_leaves_its_originals_jobs_alone(tmp_path: Path) -> None:
    folder, _ = run_builders.make_run(tmp_path / "study", run_builders.posts(1))
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "folder": str(folder)}))
    original = run_folder.load(folder)
    released, on_hold = submissions.plan_intents(original, (PLAN, PLAN), NOW)
    released = submissions.write_submission(original, replace(released, released_at=NOW))
    submissions.write_submission(original, on_hold)
    copy = run_folder.load(
        Path(shutil.copytree(tmp_path / "study", tmp_path / "copy"))
        / folder.relative_to(tmp_path / "study")
    )
    assert (original.original, copy.original) == (None, folder)
    assert submissions.read_submissions(copy) == (released,)
    assert not submissions.belongs_to(copy, released)
    (own,) = submissions.plan_intents(copy, (PLAN,), NOW, first_number=3)
    assert submissions.belongs_to(copy, own)
    assert not own.job_name.startswith(submissions.job_prefix(original))
    assert not on_hold.job_name.startswith(submissions.job_prefix(copy))
    shutil.rmtree(tmp_path / "study")
    moved = run_folder.load(copy.folder)
    assert submissions.read_submissions(moved) == (released, on_hold)
    assert all(submissions.belongs_to(moved, submission) for submission in (released, on_hold))
    # There may be another copy that does not know of this one.
    assert submissions.job_prefix(moved) == submissions.job_prefix(copy)


def test_one_process_at_a_time_locks_a_run_and_a_dead_process_frees_it(
    run_of_two_shards: Run,
) -> None:
    assert not run_lock.is_locked(run_of_two_shards)
    with run_lock.lock_run(run_of_two_shards):
        assert run_lock.is_locked(run_of_two_shards)
        with pytest.raises(
            BusyError, match=rf"^run {run_of_two_shards.run_id} is locked by another"
        ):
            run_lock.lock_run(run_of_two_shards).__enter__()
    assert not run_lock.is_locked(run_of_two_shards)
    holder = (
        "import os, pathlib, sys; from hpc.locks import run_lock\n"
        "with run_lock.locked(pathlib.Path(sys.argv[1]), ''): os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", holder, str(run_of_two_shards.folder)], check=False
    )
    assert killed.returncode == -9
    assert not run_lock.is_locked(run_of_two_shards)


def test_the_lock_of_a_file_that_was_removed_or_replaced_is_lost(run_of_two_shards: Run) -> None:
    path = run_of_two_shards.folder / run_lock.LOCK
    with run_lock.lock_run(run_of_two_shards) as first:
        run_lock.check_lock(run_of_two_shards, first)
        path.unlink()
        with pytest.raises(run_lock.LockLostError):
            run_lock.check_lock(run_of_two_shards, first)
        with run_lock.lock_run(run_of_two_shards) as second:
            run_lock.check_lock(run_of_two_shards, second)
            with pytest.raises(run_lock.LockLostError):
                run_lock.check_lock(run_of_two_shards, first)


@pytest.mark.parametrize(
    "put",
    [
        lambda path, other: path.symlink_to(other),
        lambda path, other: path.symlink_to(path),
        lambda path, other: path.mkdir(),
        lambda path, other: os.mkfifo(path),
    ],
    ids=["a link", "a link to itself", "a folder", "a pipe"],
)
def test_only_a_file_is_locked_and_written_to(
    run_of_two_shards: Run, tmp_path: Path, put: Callable[[Path, Path], None]
) -> None:
    """Who holds a lock is noted in it, and a link may lead to a file that somebody needs."""
    other = tmp_path / "other"
    other.write_text("precious")
    path = run_of_two_shards.folder / run_lock.LOCK
    put(path, other)
    with (
        pytest.raises(RunError, match=f"^{path} should be a file"),
        run_lock.lock_run(run_of_two_shards),
    ):
        pass
    assert other.read_text() == "precious"


def test_a_lock_whose_file_is_removed_before_it_is_taken_is_taken_anew(
    run_of_two_shards: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise two processes could hold it: nobody can open the removed file any more."""
    path, flock = run_of_two_shards.folder / run_lock.LOCK, fcntl.flock
    removed: list[int] = []

    def remove_and_lock(descriptor: int, kind: int) -> None:
        if not removed:
            removed.append(path.stat().st_ino)
            path.unlink()
        flock(descriptor, kind)

    monkeypatch.setattr("hpc.locks.run_lock.fcntl.flock", remove_and_lock)
    with run_lock.lock_run(run_of_two_shards) as descriptor:
        assert removed
        run_lock.check_lock(run_of_two_shards, descriptor)
        assert run_lock.is_locked(run_of_two_shards)


def test_the_lock_is_held_as_long_as_a_child_that_inherited_it_lives(
    run_of_two_shards: Run,
) -> None:
    with run_lock.lock_run(run_of_two_shards) as descriptor:
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"],
            stdin=subprocess.PIPE,
            pass_fds=[descriptor],
        )
    assert run_lock.is_locked(run_of_two_shards)
    child.communicate()
    assert not run_lock.is_locked(run_of_two_shards)


def test_a_run_whose_removal_was_interrupted_does_not_count_as_a_run(
    run_of_two_shards: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_short(folder: Path, **how: bool) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hpc.run.run_folder.shutil.rmtree", cut_short)
    with pytest.raises(KeyboardInterrupt):
        run_folder.remove(run_of_two_shards.folder)
    assert find_runs.all_runs(run_of_two_shards.folder.parent) == []
    (left,) = run_of_two_shards.folder.parent.iterdir()
    assert (
        left.name == f"{run_folder.PLANNING}{run_of_two_shards.run_id}"
    )  # which the next planning clears away


def test_a_removed_run_is_gone(run_of_two_shards: Run) -> None:
    run_folder.remove(run_of_two_shards.folder)
    assert list(run_of_two_shards.folder.parent.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named_with_the_key_that_moves_the_runs(
    tmp_path: Path, number: int
) -> None:
    lock = tmp_path / ".lock"
    problem = run_lock.describe_lock_failure(OSError(number, os.strerror(number)), lock)
    assert isinstance(problem, RunError)
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    named = [
        kind for place, kind in mounts if f"the {kind} file system at {place} " in str(problem)
    ]
    assert named
    assert str(problem).startswith(f"{lock}: ")
    assert "storage.run_root" in str(problem)


def test_another_failure_to_lock_names_the_file(tmp_path: Path) -> None:
    problem = run_lock.describe_lock_failure(OSError(errno.EIO, "Input/output error"), tmp_path)
    assert isinstance(problem, OSError)
    assert (problem.errno, problem.filename) == (errno.EIO, str(tmp_path))
