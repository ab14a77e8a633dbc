"""A run's folder: read, removed, and the records of what was submitted."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hpc.run import run_folder, submissions
from hpc.run.array_plan import next_number
from hpc.run.model.arrays import ArrayPlan, ResourceRequest, Submission
from hpc.run.model.run import Run
from hpc.runs import find_runs
from pipeline.errors import BusyError, InputError, UnreadableError
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
moments = st.datetimes(datetime(1970, 1, 1), datetime(9990, 1, 1), timezones=st.just(UTC))
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
    started_early=st.lists(st.integers(0, 2000), max_size=3).map(tuple),
    submitter=st.none() | st.integers(0, 2**31),
)


@pytest.fixture
def run_of_two_shards(tmp_path: Path) -> Run:
    folder, _ = run_builders.make_run(tmp_path, run_builders.posts(4), shards=2)
    return run_folder.load(folder)


@pytest.fixture
def run_of_many_shards(run_of_two_shards: Run) -> Run:
    """A run that has every shard of the records in these tests."""
    first = run_of_two_shards.manifest.shards[:1]
    return dataclasses.replace(
        run_of_two_shards, manifest=replace(run_of_two_shards.manifest, shards=first * 1_002_001)
    )


def refusal(error: type[Exception], act: Any, *arguments: Any) -> str:
    with pytest.raises(error) as raised:
        act(*arguments)
    return str(raised.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(recorded)
def test_a_submission_is_read_as_it_was_recorded(
    run_of_many_shards: Run, submission: Submission
) -> None:
    assert submissions.write_submission(run_of_many_shards, submission) is submission
    assert submissions.read_submissions(run_of_many_shards) == (submission,)
    submissions.withdraw_submission(run_of_many_shards, submission)
    assert submissions.read_submissions(run_of_many_shards) == ()


@pytest.mark.parametrize("place", ["", "12ab9f-"], ids=["a run", "a copy"])
def test_a_record_of_another_run_is_not_taken_for_one_of_this_run(
    run_of_many_shards: Run, place: str
) -> None:
    """Canceling this run would cancel the other one's array."""
    (intent,) = submissions.plan_intents(run_of_many_shards, (PLAN,), NOW)
    foreign = replace(intent, job_name=f"hpc-{place}{OTHER}-0001", array_job_id=4711)
    submissions.write_submission(run_of_many_shards, foreign)
    with pytest.raises(InputError, match=rf"0001\.json is a record of another run, {OTHER}\n"):
        submissions.read_submissions(run_of_many_shards)
    of_copy = f"hpc-{place}{run_builders.RUN_ID}-0001"
    submissions.write_submission(run_of_many_shards, replace(foreign, job_name=of_copy))
    assert len(submissions.read_submissions(run_of_many_shards)) == 1


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
        "job_name": "valence-20240601T120000-0123abcd-0001",
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


def test_each_intent_has_the_next_number_and_a_unique_job_name(run_of_many_shards: Run) -> None:
    (earlier,) = submissions.plan_intents(run_of_many_shards, (PLAN,), NOW)
    submissions.write_submission(run_of_many_shards, replace(earlier, number=8))
    made = submissions.plan_intents(run_of_many_shards, (PLAN, PLAN, PLAN), NOW, first_number=9)
    assert [intent.number for intent in made] == [9, 10, 11]
    assert len({intent.job_name for intent in made}) == 3
    for intent in reversed(made):
        submissions.write_submission(run_of_many_shards, intent)
    assert submissions.read_submissions(run_of_many_shards)[1:] == tuple(made)


def test_other_files_are_ignored_and_a_half_written_record_never_appears(
    run_of_many_shards: Run,
) -> None:
    (intent,) = submissions.plan_intents(run_of_many_shards, (PLAN,), NOW)
    submissions.write_submission(run_of_many_shards, intent)
    for name in (".tmp-77-0002.json", "0002.json.damaged", "notes.txt"):
        (run_of_many_shards.folder / "submissions" / name).write_text("{")
    assert submissions.read_submissions(run_of_many_shards) == (intent,)


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
        ({"array": "0-2", "offset": 0}, ": array: should name shards of the run, 0 to 1, not 2"),
        ({"offset": 2, "array": "0"}, ": array: should name shards of the run, 0 to 1, not 2"),
        ({"array_job_id": 2**64}, " is damaged: array_job_id: the number has more than 64 bits"),
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


@pytest.mark.parametrize("run_id", ["../../x", "..", ".", "a/b", "x" * 300])
def test_a_run_id_that_no_folder_can_have_names_no_run_next_to_it(
    run_of_two_shards: Run, run_id: str
) -> None:
    path = run_of_two_shards.folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "run_id": run_id}))
    assert run_folder.read_run_id(path.parent) is None
    assert run_folder.copied_run(path.parent) is None
    assert str(path) in refusal(InputError, run_folder.load, path.parent)


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


def test_two_processes_never_take_the_same_number(run_of_many_shards: Run) -> None:
    """Some file systems do not lock between machines."""
    (intent,) = submissions.plan_intents(run_of_many_shards, (PLAN,), NOW)
    submissions.write_intent(run_of_many_shards, intent)
    other = replace(intent, forced=True)
    assert "0001.json" in refusal(BusyError, submissions.write_intent, run_of_many_shards, other)
    assert submissions.read_submissions(run_of_many_shards) == (intent,)


def test_a_withdrawn_submission_leaves_no_record(run_of_two_shards: Run) -> None:
    (intent,) = submissions.plan_intents(run_of_two_shards, (PLAN,), NOW)
    submissions.write_submission(run_of_two_shards, intent)
    logs = run_of_two_shards.folder / "logs" / "0001"
    logs.mkdir(parents=True)
    (logs / "submission.sh").touch()
    submissions.withdraw_submission(run_of_two_shards, intent)
    assert (submissions.read_submissions(run_of_two_shards), logs.exists()) == ((), False)


def test_a_copy_of_a_run_leaves_its_originals_jobs_alone(tmp_path: Path) -> None:
    folder, _ = run_builders.make_run(tmp_path / "study", run_builders.posts(1))
    plan = replace(PLAN, offset=0, indices=(0,))
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "folder": str(folder)}))
    original = run_folder.load(folder)
    released, on_hold = submissions.plan_intents(original, (plan, plan), NOW)
    released = submissions.write_submission(original, replace(released, released_at=NOW))
    submissions.write_submission(original, on_hold)
    copy = run_folder.load(
        Path(shutil.copytree(tmp_path / "study", tmp_path / "copy"))
        / folder.relative_to(tmp_path / "study")
    )
    assert (original.original, copy.original) == (None, folder)
    assert submissions.read_submissions(copy) == (released,)
    assert not submissions.belongs_to(copy, released)
    (own,) = submissions.plan_intents(copy, (plan,), NOW, first_number=3)
    assert submissions.belongs_to(copy, own)
    assert not own.job_name.startswith(submissions.job_prefix(original))
    assert not on_hold.job_name.startswith(submissions.job_prefix(copy))
    shutil.rmtree(tmp_path / "study")
    moved = run_folder.load(copy.folder)
    assert submissions.read_submissions(moved) == (released, on_hold)
    assert all(submissions.belongs_to(moved, submission) for submission in (released, on_hold))
    # There may be another copy that does not know of this one.
    assert submissions.job_prefix(moved) == submissions.job_prefix(copy)


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
