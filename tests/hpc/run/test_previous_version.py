"""The files of a run that commit 6f9faab made are read, key by key."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hpc.run import run_folder, submissions
from hpc.run.cluster.resources import Cluster, ExecutorName, Resources
from hpc.run.model.run import Run
from hpc.run.retry_policy import RetryPolicy
from pipeline.classifiers import frozen_classifier
from pipeline.classifiers.base import TaskShare
from pipeline.errors import InputError
from pipeline.run_files.manifest import config_hash
from tests.hpc.cli_bench import Bench

RUN = Path(__file__).parents[2] / "data" / "runs_of_6f9faab" / "complete"
PYTHON = "@PYTHON@"


@pytest.fixture
def previous_run_folder(tmp_path: Path) -> Path:
    run_id = json.loads((RUN / "manifest.json").read_text())["run_id"]
    return Path(shutil.copytree(RUN, tmp_path / run_id))


@pytest.fixture
def previous_run(previous_run_folder: Path) -> Run:
    return run_folder.load(previous_run_folder)


def test_its_manifest_is_read(previous_run: Run) -> None:
    assert previous_run.cluster == Cluster(
        executor=ExecutorName.LOCAL,
        max_parallel=2,
        grace_seconds=0.0,
        poll_seconds=0.05,
        resources=Resources(python=PYTHON),
        caretaker=Resources(python=PYTHON, mem_gb=2.0),
    )
    assert previous_run.retry == RetryPolicy()
    assert (previous_run.manifest.posts, len(previous_run.manifest.shards)) == (4, 2)
    text = (RUN / "manifest.json").read_text(encoding="utf-8")
    assert json.dumps(previous_run.manifest.to_json(), indent=1, ensure_ascii=False) + "\n" == text


def test_its_labels_compare_with_those_made_now(previous_run: Run) -> None:
    decides = frozen_classifier.what_decides(previous_run.manifest.classifier)
    assert (
        config_hash(decides, previous_run.manifest.min_text_length)
        == previous_run.manifest.config_hash
    )


def test_its_classifier_is_made(previous_run: Run) -> None:
    classifier = frozen_classifier.create(previous_run.manifest.classifier, TaskShare())
    assert classifier.model.startswith("vaderSentiment ")


def test_its_submissions_are_read(previous_run: Run) -> None:
    (submission,) = submissions.read_submissions(previous_run)
    intended_at = datetime(2024, 6, 1, 13, 15, 40, 582826, tzinfo=UTC)
    assert (submission.number, submission.released_at) == (1, intended_at)
    assert (submission.plan.indices, submission.plan.throttle) == ((0, 1), 2)


@pytest.mark.parametrize(
    ("section", "change", "problem"),
    [
        ("retry", {"max_attempt": 3}, "unknown key (did you mean 'max_attempts'?)"),
        ("cluster", {"grace_seconds": ...}, "is missing"),
        ("cluster", {"executor": "pbs"}, "should be one of slurm, local, not 'pbs'"),
    ],
)
def test_an_unknown_format_is_reported_with_file_and_key(
    previous_run_folder: Path, section: str, change: dict[str, object], problem: str
) -> None:
    path = previous_run_folder / "manifest.json"
    manifest = json.loads(path.read_text())
    values = {**manifest[section], **change}
    manifest[section] = {name: value for name, value in values.items() if value is not ...}
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError) as rejected:
        run_folder.load(previous_run_folder)
    (key,) = change
    assert str(rejected.value) == f"{path}: {section}.{key}: {problem}"


def test_status_reports_unreadable_last_words_and_continues(
    previous_run_folder: Path, bench: Bench
) -> None:
    path = previous_run_folder / "logs" / "0001" / "00000.last-words.json"
    path.write_text('{"cause": "mood"}')
    done = bench.hpc("status", previous_run_folder)
    assert done.stderr == ""
    assert f"  not readable: {path}: 5 problems\n" in done.stdout
