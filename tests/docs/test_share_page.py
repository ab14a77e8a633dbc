"""The commands of the page about sharing, typed for a group of two people."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import read
from tests.hpc.cli_bench import Bench, exit_code
from tests.hpc.users import ANA, BO, GROUP, call, only_root, shared_folder
from tests.pipeline import run_builders

pytestmark = only_root
PAGE = read("docs/how-to/share-a-run.md")


def commands(word: str) -> list[str]:
    """The lines of the page that begin with a word, for the group of the tests."""
    lines = [line for block in PAGE.blocks for line in block.text.splitlines()]
    found = [line[2:].replace("lab", str(GROUP)) for line in lines if line.startswith(f"$ {word}")]
    assert found, word
    return found


@pytest.fixture
def home(tmp_path: Path) -> Iterator[tuple[Bench, Path]]:
    """A bench, and a folder in which the page's commands can be typed."""
    with shared_folder() as folder:
        folder.chmod(0o755)
        yield Bench(tmp_path), folder


def fill(bench: Bench, study: Path, posts: int) -> None:
    """Put a backlog and a configuration into the folder, as Ana would."""
    bench.config(
        posts, classifier={"type": "valence"}, storage={"trust_group": True},
        notify={"command": "cat >> events"},
    )  # fmt: skip
    for name in ("posts.jsonl", "run.yaml"):
        shutil.copyfile(bench.folder / name, study / name)
        os.chown(study / name, ANA, GROUP)
        (study / name).chmod(0o664)


def work_together(bench: Bench, study: Path, umask: int) -> None:
    """Let Ana submit, and Bo finish her run and submit another one."""
    os.chown(study, ANA, GROUP)
    fill(bench, study, 4)
    submitted = call(bench, study, ANA, "submit", "--config", "run.yaml", umask=umask)
    assert exit_code(submitted) == 0, submitted
    (run,) = (study / "runs").glob("2*")
    (run / "outputs" / "00001.parquet").unlink()
    supervised = call(bench, study, BO, "supervise", umask=umask)
    assert exit_code(supervised) == 0, supervised
    assert "not sent" not in supervised.stdout
    # Labeled, and labeled again.
    assert (study / "events").read_text().count('"event": "done"') == 2
    bench.backlog(run_builders.posts(6))
    shutil.copyfile(bench.folder / "posts.jsonl", study / "posts.jsonl")
    assert exit_code(call(bench, study, BO, "submit", "--config", "run.yaml", umask=umask)) == 0


def test_a_folder_of_a_group_with_umask_002(home: tuple[Bench, Path]) -> None:
    bench, folder = home
    (line,) = commands("mkdir")
    subprocess.run(["sh", "-c", line], cwd=folder, check=True)
    work_together(bench, folder / "study", umask=0o002)


def test_an_access_list_in_place_of_the_umask(home: tuple[Bench, Path]) -> None:
    bench, folder = home
    for line in (*commands("mkdir"), *commands("setfacl")):
        subprocess.run(["sh", "-c", line], cwd=folder, check=True)
    work_together(bench, folder / "study", umask=0o022)


def test_a_folder_that_exists_already_is_opened_to_the_group(home: tuple[Bench, Path]) -> None:
    _, folder = home
    study = folder / "study"
    (study / "runs").mkdir(parents=True, mode=0o755)
    (study / "labels.duckdb").touch(mode=0o644)
    (line,) = commands("chgrp -R")
    subprocess.run(["sh", "-c", line], cwd=folder, check=True)
    modes = [(oct(path.stat().st_mode), path.stat().st_gid) for path in sorted(study.iterdir())]
    assert modes == [("0o100664", GROUP), ("0o42775", GROUP)]
