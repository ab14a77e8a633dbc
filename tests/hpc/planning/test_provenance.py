"""A run records the commit of the code that created it, and whether that code was changed."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

from hpc.planning.new_run import provenance


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git checkout that holds the module under test and a file of the other package."""
    folder = tmp_path / "checkout"
    module = folder / "hpc" / "planning" / "provenance.py"
    module.parent.mkdir(parents=True)
    shutil.copy(provenance.__file__, module)
    (folder / "pipeline").mkdir()
    (folder / "pipeline" / "model.py").write_text("A = 1\n")
    (folder / "notes.txt").write_text("hello\n")
    (folder / ".gitignore").write_text("__pycache__/\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    git(folder, *identity, "commit", "--quiet", "-m", "first")
    return folder


def git(folder: Path, *arguments: str) -> str:
    process = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    )
    return process.stdout.strip()


def commit_of(checkout: Path) -> str:
    """What the checkout's own copy of the module returns."""
    path = checkout / "hpc" / "planning" / "provenance.py"
    spec = importlib.util.spec_from_file_location("provenance_of_checkout", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    commit: str = module.git_commit()
    return commit


def test_an_unchanged_checkout_is_named_by_its_commit(checkout: Path) -> None:
    assert commit_of(checkout) == git(checkout, "rev-parse", "HEAD")


@pytest.mark.parametrize("changed", ["hpc/planning/provenance.py", "pipeline/model.py"])
def test_changed_code_is_marked_with_a_plus(checkout: Path, changed: str) -> None:
    with (checkout / changed).open("a") as file:
        file.write("\n# changed\n")
    assert commit_of(checkout) == git(checkout, "rev-parse", "HEAD") + "+"


def test_changes_outside_the_code_do_not_count(checkout: Path) -> None:
    (checkout / "notes.txt").write_text("changed\n")
    assert commit_of(checkout) == git(checkout, "rev-parse", "HEAD")


def test_code_outside_of_a_checkout_has_no_commit(checkout: Path) -> None:
    shutil.rmtree(checkout / ".git")
    assert commit_of(checkout) == ""
