"""Adopted labels go wherever labels go, and every command says where they are from."""

import json
from pathlib import Path

import pytest

from hpc import api
from pipeline.errors import InputError
from tests.hpc.adoption.engine import EXTERNAL, hand_over, label, write_parquet
from tests.hpc.cli_bench import Bench


@pytest.fixture
def run(bench: Bench) -> Path:
    bench.config(30, classifier=EXTERNAL)
    return hand_over(bench)


@pytest.fixture
def adopted(bench: Bench, run: Path) -> Path:
    write_parquet(run / "answers" / "a.parquet", label(run))
    assert bench.hpc("adopt", run / "answers", "--engine", "made-up 3").returncode == 0
    return run


def test_status_and_the_audit_say_what_a_run_awaits(bench: Bench, run: Path) -> None:
    status = bench.document("status", code=1)
    assert (status["state"], status["awaits_engine"]) == ("planned", True)
    audit = bench.document("audit", "--config", bench.path, code=3)
    assert audit["places"]["handed_over"] == 30
    write_parquet(run / "answers" / "a.parquet", label(run))
    bench.document("adopt", run / "answers")
    assert not bench.document("status")["awaits_engine"]
    assert bench.document("audit", "--config", bench.path)["places"]["handed_over"] == 0


@pytest.mark.usefixtures("adopted")
def test_the_report_names_the_engine_and_its_files(bench: Bench) -> None:
    assert bench.hpc("report", "test", "--out", "page.html").returncode == 0
    page = (bench.folder / "page.html").read_text(encoding="utf-8")
    assert "made-up 3" in page
    assert "Adopted answers" in page
    assert bench.hpc("clean", "--yes").returncode == 0
    assert bench.hpc("report", "test", "--out", "archived.html").returncode == 0
    assert "made-up 3" in (bench.folder / "archived.html").read_text(encoding="utf-8")
    assert "a minute" not in page.split("Throughput", 2)[-1].split("Provenance")[0]


@pytest.mark.usefixtures("adopted")
def test_adopted_labels_are_exported_and_compared_with_those_of_tasks(bench: Bench) -> None:
    bench.config(name="own", classifier={"type": "valence"})
    assert bench.submit().returncode == 0
    assert bench.hpc("compare", "test", "own", "--map", "score=compound").returncode == 0
    assert bench.document("export", "test", "--to", "labels.csv")["rows"] == 30


def test_no_cluster_is_asked_for_a_run_that_another_engine_labels(bench: Bench) -> None:
    """The configuration is for Slurm, and no Slurm answers here."""
    cluster = {"executor": "slurm", "partition": "short", "account": "p999", "time": "1:00:00"}
    bench.config(30, classifier=EXTERNAL, cluster=cluster)
    nowhere = {"PATH": str(bench.folder)}
    done = bench.hpc("submit", "--config", bench.path, "--plan-only", "--json", env=nowhere)
    assert done.returncode == 0, done.stderr
    run = Path(json.loads(done.stdout)["run_dir"])
    write_parquet(run / "answers" / "a.parquet", label(run))
    assert bench.hpc("adopt", run / "answers", env=nowhere).returncode == 0
    assert bench.hpc("status", env=nowhere).returncode == 0


def test_check_asks_nobody_about_labels_of_another_engine(bench: Bench) -> None:
    bench.config(3, classifier=EXTERNAL)
    findings = bench.document("check", "--config", bench.path)
    assert isinstance(findings, list)
    assert {each["level"] for each in findings} == {"ok"}


def test_python_plans_and_adopts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench.folder)
    bench.config(30, classifier=EXTERNAL)
    planned = api.plan(bench.path)
    assert planned.run_dir
    write_parquet(planned.run_dir / "answers" / "a.parquet", label(planned.run_dir)[:20])
    settings = api.AdoptSettings(engine="made-up 3", dry_run=True)
    tried = api.adopt(planned.run_dir / "answers", settings=settings)
    assert (tried.adoption, tried.published, tried.waiting) == (None, (0,), 10)
    done = api.adopt(planned.run_dir / "answers", planned)
    assert (done.adoption, done.published, done.waiting, done.exit_code) == (1, (0,), 10, 3)
    with pytest.raises(InputError):
        api.submit(bench.path)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "another"},
        {"settings": {"temperature": 1}},
        {"labels": [{**EXTERNAL["labels"][0], "may_be_null": True}, *EXTERNAL["labels"][1:]]},  # type: ignore[index, dict-item]
    ],
)
def test_what_decides_labels_of_another_engine_binds_the_name(
    bench: Bench, adopted: Path, change: dict[str, object]
) -> None:
    assert adopted.is_dir()
    bench.config(31, classifier={**EXTERNAL, **change})
    plan = ("submit", "--config", bench.path, "--plan-only", "--backfill")
    assert bench.hpc(*plan).returncode == 2
    bench.config(31, classifier={**EXTERNAL, "engine": "another one"})
    assert bench.document(*plan)["posts"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"labels": []},
        {"labels": [{"name": "text", "type": "bool"}]},
        {"labels": [{"name": "Toxic", "type": "bool"}]},
        {"labels": [{"name": "a", "type": "boolean"}]},
        {"labels": [{"name": "a", "type": "choice"}]},
        {"labels": [{"name": "a", "type": "choice", "choices": ["x", "x"]}]},
        {"labels": [{"name": "a", "type": "bool", "choices": ["x", "y"]}]},
        {"labels": [{"name": "a", "type": "text", "maximum": 3}]},
        {"labels": [{"name": "a", "type": "number", "minimum": 3, "maximum": 1}]},
        {"labels": [{"name": "a", "type": "bool"}, {"name": "a", "type": "text"}]},
        {"model": ""},
        {"prompt": "nowhere.txt"},
        {"keep_raw": True},
    ],
)
def test_a_wrong_declaration_is_rejected(bench: Bench, change: dict[str, object]) -> None:
    bench.config(3, classifier={**EXTERNAL, **change})
    assert bench.submit("--plan-only").returncode == 2
