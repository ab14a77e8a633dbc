"""Before anything is submitted, what every attempt needs is looked for again."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpc.config import run_config
from hpc.planning.new_run.create_run import create_run
from hpc.planning.run_spec import Selection, validate
from hpc.reconcile.checks.preflight import check_before_submission, find_python_problem
from hpc.run import run_folder
from hpc.run.submissions import read_submissions
from pipeline.classifiers.frozen_classifier import check_frozen
from pipeline.config.check import Problems
from pipeline.errors import InputError
from tests.pipeline import run_builders

ROOT = Path(__file__).parents[3]
KEY = "AIzaSyDistinctive-Key_0123456789abcdefg"
CONFIG = """
name: toxicity
backlog: {source: posts.jsonl}
sharding: {shards: 2}
classifier: {type: perspective, base_url: "http://127.0.0.1:9", quota_folder: quota%s}
cluster: {executor: local, python: %s}
"""


@dataclass
class Planned:
    """A run of two shards that was planned, and of which the first is published already."""

    folder: Path
    run: Path

    def hpc(self, verb: str, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run a verb with nothing in its environment but `env`, as cron does."""
        return subprocess.run(
            ["env", "-i", *(f"{name}={value}" for name, value in env.items()), sys.executable,
             "-m", f"hpc.{verb}", str(self.run), *arguments],
            cwd=self.folder, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    def states(self) -> list[str]:
        status = self.hpc("status", "--json")
        return [shard["state"] for shard in json.loads(status.stdout)["shards"]]


def plan(folder: Path, monkeypatch: pytest.MonkeyPatch, *, more: str = "", python: str) -> Planned:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PERSPECTIVE_API_KEY", KEY)
    rows = [
        json.dumps(
            {
                "uri": post.uri,
                "text": post.text,
                "preprocessing_timestamp": str(post.preprocessing_timestamp),
            }
        )
        for post in run_builders.posts(8)
    ]
    (folder / "posts.jsonl").write_text("\n".join(rows))
    (folder / "run.yaml").write_text(CONFIG % (more, python))
    spec = validate(run_config.load(folder / "run.yaml"))
    run, _ = create_run(spec, Selection(), (folder,), "")
    assert run is not None
    run_builders.publish_shard(run.folder, run.manifest, 0)
    return Planned(folder, run.folder)


def test_a_round_of_cron_without_the_key_submits_nothing_and_gathers_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan(tmp_path, monkeypatch, python=sys.executable)
    done = planned.hpc("supervise", "--once")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "PERSPECTIVE_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr
    assert read_submissions(run_folder.load(planned.run)) == ()
    assert planned.states() == ["done", "planned"]
    assert (tmp_path / "labels.duckdb").exists()


def test_a_key_file_that_others_may_read_is_reported_before_every_submission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_text(KEY)
    key.chmod(0o600)
    planned = plan(tmp_path, monkeypatch, more=f", api_key_file: {key}", python=sys.executable)
    run = run_folder.load(planned.run)
    monkeypatch.delenv("PERSPECTIVE_API_KEY")
    check_before_submission(run)
    key.chmod(0o644)
    with pytest.raises(InputError, match=r"classifier\.api_key_file.*chmod 600"):
        check_before_submission(run)
    key.unlink()
    with pytest.raises(InputError, match=r"classifier\.api_key_file"):
        check_before_submission(run)


def test_a_python_that_is_gone_is_reported_before_every_submission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    run = run_folder.load(plan(tmp_path, monkeypatch, python=str(python)).run)
    check_before_submission(run)
    python.unlink()
    with pytest.raises(InputError, match=r"cluster\.python"):
        check_before_submission(run)


def test_the_folder_of_a_model_that_is_gone_is_reported(tmp_path: Path) -> None:
    """A commit of the hub's is not looked for: the node may have it."""
    problems = Problems()
    options = {"type": "transformers", "model": str(tmp_path), "revision": "sha256-0"}
    check_frozen(options, source="run", problems=problems)
    assert not problems.found
    check_frozen({**options, "model": str(tmp_path / "gone")}, source="run", problems=problems)
    assert [problem.path for problem in problems.found] == ["classifier.model"]


@pytest.mark.parametrize("python", ["python3", "python"])
def test_a_python_without_a_folder_is_looked_up_on_the_node(python: str) -> None:
    assert find_python_problem(python) == ""
