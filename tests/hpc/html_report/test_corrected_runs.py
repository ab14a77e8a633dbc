"""A report shows what held when the attempts of a run ran, whatever a correction changed later."""

from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from hpc.efficiency.attempt_use import requested_cpus
from hpc.html_report.facts import Quota
from hpc.html_report.observe.read_runs import read_runs
from hpc.run import run_folder, submissions
from hpc.run.model.arrays import ArrayPlan
from hpc.run.model.run import Run
from pipeline.run_files import amendments, manifest
from pipeline.run_files.amendments import Amendment, Change
from tests.pipeline import run_builders

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
QUOTA = "classifier.requests_per_minute"
CPUS = "cluster.resources.cpus"


def corrected_run(folder: Path, *, attempts: int) -> Run:
    """A run of 60 requests a minute and 1 CPU, corrected to no quota and 4 CPUs after attempt 1."""
    classifier = {**run_builders.VALENCE, "requests_per_minute": 60}
    made, _ = run_builders.make_run(folder, run_builders.posts(2), classifier=classifier)
    run = run_folder.load(made)
    plan = ArrayPlan(offset=0, indices=(0,), throttle=1, parallel_tasks=1)
    plans = [plan] * attempts
    for intent in submissions.plan_intents(run, plans, NOW):
        submissions.write_submission(run, replace(intent, released_at=NOW))
    cpus = run.cluster.resources.cpus
    amendments.write(
        made,
        Amendment(
            format=amendments.FORMAT, number=1, amended_at="2026-11-24T12:00:00", amended_by="anna",
            version="0.1.0", after_attempt=1,
            changes=(
                Change(key=QUOTA, place=QUOTA, old=60, new=None),
                Change(key="cluster.cpus", place=CPUS, old=cpus, new=4),
            ),
        ),
    )  # fmt: skip
    return run_folder.load(made)


def test_a_quota_that_a_correction_removed_counts_for_the_attempts_before(tmp_path: Path) -> None:
    run = corrected_run(tmp_path, attempts=2)
    ((facts,), _) = read_runs([run], tmp_path / "labels.duckdb")
    assert facts.quotas == (Quota(60, 60), None)
    assert facts.quota is None


def test_a_correction_that_no_attempt_obeyed_changes_nothing(tmp_path: Path) -> None:
    run = corrected_run(tmp_path, attempts=1)
    ((facts,), _) = read_runs([run], tmp_path / "labels.duckdb")
    assert facts.quotas == (Quota(60, 60),)


def test_an_earlier_attempt_has_the_settings_of_its_time(tmp_path: Path) -> None:
    run = corrected_run(tmp_path, attempts=2)
    then, now = run_folder.run_at(run, 1), run_folder.run_at(run, 2)
    assert now == run
    assert then.amendments == ()
    assert (requested_cpus(run, 1), requested_cpus(run, 2)) == (1, 4)
    assert then.manifest == manifest.read(run.folder)
    assert (then.cluster.resources.cpus, now.cluster.resources.cpus) == (1, 4)
