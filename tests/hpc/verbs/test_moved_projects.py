"""A project that was moved or copied works on itself, and never on the place it came from."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.hpc.cli_bench import Bench
from tests.hpc.in_process import Done, call_verb
from tests.hpc.verbs.test_runs_of_previous_version import LABELED, unpack

VALENCE = {"type": "valence"}


def call(bench: Bench, folder: Path, verb: str, *arguments: object) -> Done:
    return call_verb(verb, arguments, folder=folder, env=bench.env, modules=bench.site)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def rows(database: Path) -> int:
    with duckdb.connect(str(database), read_only=True) as connection:
        (count,) = connection.execute("SELECT count(*) FROM labels_test").fetchone() or (0,)
    return int(count)


def submitted(bench: Bench, **sections: Any) -> Path:
    """Return a project whose run is complete and gathered."""
    bench.config(4, classifier=VALENCE, **sections)
    project = bench.folder / "study"
    project.mkdir()
    for name in ("posts.jsonl", "run.yaml"):
        shutil.move(bench.folder / name, project / name)
    assert call(bench, project, "submit", "--config", "run.yaml").returncode == 0
    return project


def run_in(project: Path) -> Path:
    (folder,) = (project / "runs").glob("[0-9]*")
    return folder


def test_a_copy_and_a_moved_project_work_on_themselves(bench: Bench) -> None:
    original = submitted(bench)
    before = contents(original)
    copy = shutil.copytree(original, bench.folder / "copy", copy_function=shutil.copy2)
    (run_in(copy) / "outputs" / "00001.parquet").unlink()
    (copy / "labels.duckdb").unlink()
    assert f"a copy of {run_in(original)}\n" in call(bench, copy, "status").stdout
    assert call(bench, copy, "gather").returncode == 0
    assert rows(copy / "labels.duckdb") == 2
    assert call(bench, copy, "supervise").returncode == 0
    assert call(bench, copy, "gather", "--rebuild").returncode == 0
    assert rows(copy / "labels.duckdb") == 4
    nothing_new = call(bench, copy, "submit", "--config", "run.yaml", "--json")
    assert json.loads(nothing_new.stdout)["run_id"] is None
    assert contents(original) == before

    moved = original.rename(bench.folder / "moved")
    (moved / "labels.duckdb").unlink()
    assert call(bench, moved, "status").returncode == 0
    assert call(bench, moved, "gather", "--rebuild").returncode == 0
    assert rows(moved / "labels.duckdb") == 4
    assert not original.exists()


def test_a_copy_does_not_write_to_a_database_that_it_shares_with_its_original(
    bench: Bench,
) -> None:
    shared = bench.folder / "elsewhere" / "labels.duckdb"
    original = submitted(bench, storage={"database": str(shared)})
    before = shared.read_bytes()
    copy = shutil.copytree(original, bench.folder / "copy")
    for arguments in ((), ("--rebuild",)):
        refused = call(bench, copy, "gather", *arguments)
        assert refused.returncode == 2
        assert str(run_in(original)) in refused.stderr
    assert shared.read_bytes() == before
    assert call(bench, copy, "gather", "--database", "own.duckdb").returncode == 0
    assert rows(copy / "own.duckdb") == 4
    (run_in(copy) / "outputs" / "00001.parquet").unlink()
    status = call(bench, copy, "status", "--database", "own.duckdb")
    (step,) = (line for line in status.stdout.splitlines() if line.startswith("next: hpc "))
    assert "--database own.duckdb" in step
    verb, *rest = shlex.split(step.removeprefix("next: hpc "))
    assert call(bench, copy, verb, *rest).returncode == 0
    # Once the original is gone, this is the run itself: it has moved.
    shutil.rmtree(original)
    assert call(bench, copy, "gather").returncode == 0
    shutil.rmtree(shared.parent)
    assert call(bench, copy, "gather").returncode == 2
    assert not shared.parent.exists()


@pytest.mark.parametrize("keep_original", [True, False])
def test_a_run_of_the_previous_version_works_on_the_project_that_it_is_in_now(
    tmp_path: Path, bench: Bench, keep_original: bool
) -> None:
    original = tmp_path / "study"
    former = unpack("interrupted", original)
    before = contents(original)
    now = tmp_path / "elsewhere" / "study"
    shutil.copytree(original, now)
    if not keep_original:
        shutil.rmtree(original)
    assert call(bench, now, "supervise").returncode == 0
    with duckdb.connect(str(now / "labels.duckdb"), read_only=True) as database:
        count = database.execute(f"SELECT count(*) FROM labels_{former.manifest.name}").fetchone()
    assert count == (len(LABELED),)
    assert (contents(original) if keep_original else original.exists()) == (
        before if keep_original else False
    )
