"""The project's own files agree with one another: version, lock, citation."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pipeline

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def name_of(requirement: str) -> str:
    """Return the normalized name of a requirement such as `duckdb>=2,<3`."""
    name = re.match(r"[\w.-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def test_the_version_is_the_same_everywhere() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", citation, re.MULTILINE) == [pipeline.__version__]
    assert version(PROJECT["name"]) == pipeline.__version__


def test_the_map_of_the_folders_has_every_package() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+/`) \|", contributing, re.MULTILINE)
    mapped = {folder.strip("/") for row in rows for folder in re.findall(r"`([^`]+)`", row)}
    assert {folder for folder in mapped if not (ROOT / folder).is_dir()} == set()
    packages = [
        path.parent.relative_to(ROOT).as_posix()
        for room in ("hpc", "pipeline")
        for path in (ROOT / room).glob("*/__init__.py")
    ]
    assert [name for name in packages if not any(m.startswith(name) for m in mapped)] == []


def test_the_lock_pins_everything_that_the_tests_install() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []
    declared = {*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]}
    assert set(map(name_of, declared)) - set(map(name_of, pins)) == set()


def test_the_hooks_have_the_versions_of_the_lock() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    for tool, repository in (("ruff", "ruff-pre-commit"), ("codespell", "codespell")):
        (pinned,) = re.findall(rf"^{tool}==(.+)$", lock, re.MULTILINE)
        assert f"{repository}\n    rev: v{pinned}\n" in hooks
