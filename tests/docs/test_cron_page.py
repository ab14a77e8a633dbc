"""The entries of the page about cron, run as cron runs them."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, read
from tests.hpc.cli_bench import Bench, uris
from tests.pipeline import run_builders

PAGE = read("docs/how-to/cron.md")
FIELD = r"(?:\*|\d+)(?:/\d+)?"
ENTRY = re.compile(rf"({FIELD}(?: {FIELD}){{4}})\s+(\S.*)")
PROJECT = "/projects/p32000/classify"


def crontab() -> tuple[dict[str, str], list[str]]:
    """The variables and the commands of the page's crontab."""
    block = next(block for block in PAGE.blocks if block.language == "crontab")
    variables: dict[str, str] = {}
    commands = []
    for line in filter(None, block.text.splitlines()):
        if entry := ENTRY.fullmatch(line):
            commands.append(entry[2])
        else:
            name, _, value = line.partition("=")
            variables[name] = value
    return variables, commands


def cron(command: str, folder: Path) -> int:
    """Run an entry as cron does: with few variables, from the home, by the shell it names."""
    variables, _ = crontab()
    known = {**variables, "HOME": str(folder), "LOGNAME": "ana", "PROJECT": str(folder)}
    shell = variables["SHELL"]
    done = subprocess.run(
        [shell, "-c", command], cwd="/", env=known, capture_output=True, text=True, check=False
    )
    assert done.stdout + done.stderr == "", "cron would mail this every time"
    return done.returncode


@pytest.fixture
def project(tmp_path: Path) -> Bench:
    """A project with the program, and the configuration that the page names."""
    bench = Bench(tmp_path)
    (bench.folder / ".venv").symlink_to(ROOT / ".venv")
    bench.config(
        4, classifier={"type": "valence"}, notify={"command": ["tee", "-a", "events"]}
    ).rename(bench.folder / "toxicity.yaml")
    return bench


@pytest.mark.skipif(not (ROOT / ".venv/bin/hpc").exists(), reason="the program is not installed")
def test_a_nightly_entry_labels_what_has_arrived_since(project: Bench) -> None:
    (every_half_hour, nightly) = crontab()[1]
    assert cron(every_half_hour, project.folder) == 2  # there is no run yet
    assert cron(nightly, project.folder) == 2
    assert project.hpc("submit", "--config", "toxicity.yaml").returncode == 0
    project.backlog(run_builders.posts(6))
    assert cron(every_half_hour, project.folder) == 0
    assert cron(nightly, project.folder) == 0
    assert len(project.runs()) == 2
    labeled = project.query("SELECT uri FROM labels_test ORDER BY uri")
    assert labeled == [(uri,) for uri in sorted(uris(6))]
    assert (project.folder / "events").read_text().count('"event": "done"') == 2


def test_entries_name_one_folder_and_no_percent_sign() -> None:
    blocks = [block for block in PAGE.blocks if block.language in ("crontab", "scrontab")]
    entries = [ENTRY.match(line) for block in blocks for line in block.text.splitlines()]
    commands = [entry[2] for entry in entries if entry]
    assert len(commands) == 5
    assert all("%" not in command for command in commands)
    assert all(PROJECT in command or "$PROJECT" in command for command in commands)


def test_a_key_file_is_private_before_the_key_is_in_it(tmp_path: Path) -> None:
    line = next(
        line[2:]
        for block in PAGE.blocks
        for line in block.text.splitlines()
        if line.startswith("$ install")
    )
    subprocess.run(["sh", "-c", line], env={**os.environ, "HOME": str(tmp_path)}, check=True)
    assert (tmp_path / ".perspective_key").stat().st_mode & 0o777 == 0o600
