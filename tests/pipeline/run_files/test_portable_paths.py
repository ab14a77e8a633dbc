"""Paths of a project are written relative to the run, and read where the run is now."""

import os
from pathlib import Path

import msgspec
import pytest

from pipeline.run_files import manifest, portable_paths
from pipeline.run_files.manifest import Manifest
from tests.pipeline import run_builders


def manifest_of(project: Path, **changes: object) -> tuple[Path, Manifest]:
    """Return a run of a project whose manifest names paths in it and outside of it."""
    run_dir, made = run_builders.make_run(project, run_builders.posts(1))
    values = {
        "database": str(project / "labels.duckdb"),
        "classifier": {
            "type": "llm",
            "quota_folder": str(project / "quota"),
            "server": {"command": ["serve", str(project / "models" / "m.gguf"), "/health"]},
            "api_key_file": "/home/ana/key",
            "prompt": f"{project}\nis where the posts are.",
        },
        "cluster": {"resources": {"python": str(project / ".venv/bin/python"), "setup": ()}},
        "folder": str(run_dir),
    }
    return run_dir, msgspec.structs.replace(made, **{**values, **changes})


def write(project: Path, **changes: object) -> tuple[Path, Manifest]:
    run_dir, made = manifest_of(project, **changes)
    manifest.write(run_dir, made, portable_paths.project_folders(project / "runs", project))
    return run_dir, made


def test_a_manifest_names_no_path_in_its_project_but_where_it_was_created(tmp_path: Path) -> None:
    project = tmp_path / "study"
    run_dir, made = write(project)
    written = msgspec.json.decode((run_dir / manifest.FILE_NAME).read_bytes())
    assert written.pop("folder") == str(run_dir)
    assert written["classifier"].pop("prompt") == made.classifier["prompt"]
    assert str(tmp_path) not in str(written)
    assert written["database"] == "{run}/../../labels.duckdb"
    assert manifest.read(run_dir).to_json() == made.to_json()


def test_a_moved_manifest_names_paths_where_it_is_now(tmp_path: Path) -> None:
    write(tmp_path / "study")
    now = (tmp_path / "study").rename(tmp_path / "other")
    moved = manifest.read(now / "runs" / run_builders.RUN_ID)
    assert moved.database == str(now / "labels.duckdb")
    assert moved.classifier["quota_folder"] == str(now / "quota")
    assert moved.classifier["server"]["command"][1] == str(now / "models" / "m.gguf")
    assert moved.classifier["api_key_file"] == "/home/ana/key"
    assert moved.cluster["resources"] == {"python": str(now / ".venv/bin/python"), "setup": []}


def test_the_run_root_may_be_reached_through_a_link(tmp_path: Path) -> None:
    """The database is beside the link then, and not beside the folder that it leads to."""
    scratch, project = tmp_path / "scratch", tmp_path / "study"
    scratch.mkdir()
    project.mkdir()
    (project / "runs").symlink_to(scratch)
    run_dir, _ = write(project)
    for way in (run_dir, scratch / run_builders.RUN_ID):
        assert manifest.read(way).database == str(project / "labels.duckdb")


def test_a_project_may_be_reached_through_a_link(tmp_path: Path) -> None:
    project = tmp_path / "study"
    write(project)
    (tmp_path / "link").symlink_to(project)
    read = manifest.read(tmp_path / "link" / "runs" / run_builders.RUN_ID)
    assert read.database == str(project / "labels.duckdb")


@pytest.mark.parametrize(
    ("run_root", "working", "expected"),
    [
        ("study/runs", "study", ["study"]),
        ("study/out/runs", "study", ["study/out", "study"]),
        ("scratch/runs", "study", ["scratch"]),
        ("study/runs", "", ["study"]),
    ],
)
def test_the_folders_of_a_project(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run_root: str,
    working: str,
    expected: list[str],
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folders = portable_paths.project_folders(tmp_path / run_root, tmp_path / working)
    assert [os.path.relpath(folder, tmp_path) for folder in folders] == expected


def test_the_quota_folder_of_the_user_stays_although_the_project_is_the_users_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    quota = str(tmp_path / ".hpc" / "quota")
    run_dir, _ = write(tmp_path, classifier={"type": "llm", "quota_folder": quota})
    written = msgspec.json.decode((run_dir / manifest.FILE_NAME).read_bytes())
    assert written["classifier"]["quota_folder"] == quota
    assert written["database"] == "{run}/../../labels.duckdb"


def test_nobody_moves_the_root_folder() -> None:
    assert portable_paths.project_folders(Path("/runs"), Path("/")) == ()
