"""A person answers on a terminal."""

import json
from pathlib import Path

import pytest

from hpc.config import run_config
from tests.hpc.initialize.terminal import CTRL_C, CTRL_D, Dialog, talk
from tests.hpc.initialize.test_init import KEY, ROWS, write_table
from tests.pipeline.backlog.source_files import sqlite_file
from tests.pipeline.module_path import module_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sqlite_file(tmp_path / "posts.db", ROWS)
    return tmp_path


def dialog(folder: Path, *answers: str, arguments: tuple[str, ...] = (), **env: str) -> Dialog:
    """Answer `hpc init` on a machine without Slurm."""
    own = {"PATH": str(folder), "PYTHONPATH": module_path(), "HOME": str(folder), "TERM": "xterm"}
    return talk(arguments, answers, folder=folder, env={**own, **env})


def test_enter_accepts_every_proposal(folder: Path) -> None:
    done = dialog(folder)
    assert done.code == 0, done.screen
    assert done.asked == (
        *("source", "uri column", "text column", "timestamp column", "classifier", "name"),
        "executor",
    )
    assert run_config.load(folder / "valence.yaml").name == "valence"


def test_an_answer_may_be_a_number_or_a_name_and_a_wrong_one_is_asked_again(folder: Path) -> None:
    write_table(folder / "other.csv", "", ["key", "note", "when"], ROWS)
    names = ("2", "9", "sourc", "uri", "3", "text", "preprocessing_timestamp")
    done = dialog(
        folder,
        *names,
        *("lm", "llm", "No Name", "first", "localhost", "http://127.0.0.1:9/v1", KEY, "", "m"),
        "toxic:bool",
        arguments=("--executor", "local"),
        LANG="C",
        TERM="dumb",
    )
    assert done.code == 0, done.screen
    config = run_config.load(folder / "first.yaml")
    assert config.backlog.columns.values() == ("uri", "text", "preprocessing_timestamp")
    assert config.classifier.options.to_json()["model"] == "m"


def test_enter_where_nothing_is_proposed_says_what_to_type(folder: Path) -> None:
    sqlite_file(folder / "more.db", ROWS)
    done = dialog(folder, "", CTRL_D)
    assert done.asked == ("source", "source")
    assert "nothing is proposed: several files may hold the posts" in done.screen
    assert "source: Enter accepts nothing here: choose 1 or 2, or type a file" in done.screen


def test_enter_takes_no_proposal_that_cannot_be_used(folder: Path) -> None:
    (folder / "cluster.yaml").mkdir()
    done = dialog(folder, *[""] * 8, CTRL_D)
    assert done.asked[-2:] == ("template", "template")
    assert "template: Enter accepts nothing here: type a file" in done.screen
    assert "template [" not in done.screen


def test_a_blank_line_is_enter_and_a_dash_leaves_out_only_what_may_be_left_out(
    folder: Path,
) -> None:
    slurm = ("--classifier", "valence", "--executor", "slurm")
    at_name = ["  "] * 4
    done = dialog(folder, *at_name, "-", "", "two words", "-", "", "", CTRL_C, arguments=slurm)
    assert done.code == 130, done.screen
    assert done.asked[4:] == (
        *("name", "name", "account", "account", "partition", "time", "memory in GiB"),
    )
    assert "memory in GiB [2]:  ^C\ninterrupted" in done.screen


def test_a_prompt_that_is_there_is_not_proposed_to_be_overwritten(folder: Path) -> None:
    (folder / "llm_prompt.txt").write_text("mine")
    server = ("--classifier", "llm", "--base-url", "http://127.0.0.1:9/v1", "--model", "m")
    done = dialog(folder, arguments=server)
    assert (done.code, (folder / "llm_prompt.txt").read_text()) == (0, "mine"), done.screen
    assert run_config.load(folder / "llm_2.yaml").name == "llm_2"


def test_no_key_is_proposed_for_a_server_that_may_need_none(folder: Path) -> None:
    server = ("--classifier", "llm", "--base-url", "http://127.0.0.1:9/v1", "--model", "m")
    done = dialog(folder, arguments=server)
    assert "API key file [none]" in done.screen
    assert "servers of your own usually need none" in done.screen


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D])
@pytest.mark.parametrize("answers", [0, 5])
def test_leaving_writes_nothing(folder: Path, key: str, answers: int) -> None:
    done = dialog(folder, *[""] * answers, key)
    assert done.code == 130, done.screen
    assert [path.name for path in folder.iterdir()] == ["posts.db"]
    assert "Traceback" not in done.screen


def test_a_name_that_is_taken_is_not_proposed(folder: Path) -> None:
    (folder / "valence.yaml").write_text("mine")
    assert dialog(folder).code == 0
    assert (folder / "valence.yaml").read_text() == "mine"
    assert run_config.load(folder / "valence_2.yaml").name == "valence_2"


def test_options_are_not_asked_about(folder: Path) -> None:
    arguments = ("--source", "posts.db", "--uri-column", "uri", "--classifier", "valence", "--json")
    done = dialog(folder, arguments=arguments)
    assert done.asked == ("text column", "timestamp column", "name", "executor")
    assert json.loads(done.screen.rstrip().rpartition("\n")[2])["name"] == "valence"
