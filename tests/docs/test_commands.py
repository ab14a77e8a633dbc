"""Commands in the documentation name commands, options and configurations that exist."""

import argparse
import importlib
import re
import sqlite3
from pathlib import Path

import pytest

from hpc.command_line import cli
from hpc.command_line.cli import VERBS
from tests.docs import pages
from tests.docs.pages import ROOT, read, verb_and_arguments

SHARED_OPTIONS = {"-h", "--help", "--json", "--debug"}
RUN_OPTIONS = {"--config", "--run-root", "--database"}
OPTIONS_WITHOUT_VERB = {"--help", "--version", "--print-completion"}
ABOUT_A_RUN = VERBS.keys() - {
    "init", "check", "submit", "try", "audit", "compare", "report", "export", "sample", "gold",
}  # fmt: skip


def parser(verb: str) -> argparse.ArgumentParser:
    """Return what parses the arguments of a verb."""
    return cli.build_parser([importlib.import_module(f"hpc.{verb}").VERB])


def options(verb: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Return the options of a verb, as its help lists them."""
    with pytest.raises(SystemExit):
        parser(verb).parse_args([verb, "--help"])
    listed = re.findall(r"^  (?:-\w, )?(--[\w-]+)", capsys.readouterr().out, re.MULTILINE)
    return {*listed, "-h"}


@pytest.mark.parametrize("page", pages.NAMES)
def test_a_command_in_a_block_is_one_that_the_program_accepts(page: str) -> None:
    for words in read(page).commands:
        if found := verb_and_arguments(words):
            verb, arguments = found
            if verb.startswith("-"):
                assert verb in OPTIONS_WITHOUT_VERB, words
            else:
                parser(verb).parse_args([verb, *arguments])


def test_a_command_in_a_sentence_has_options_that_exist(
    capsys: pytest.CaptureFixture[str],
) -> None:
    existing = {verb: options(verb, capsys) for verb in VERBS}
    for page in pages.NAMES:
        for span in read(page).code_spans:
            verb, *words = re.sub(r"^(python -m )?hpc[ .]", "", span).split() or [""]
            if verb in VERBS:
                named = {word for word in words if word.startswith("--")}
                assert named <= existing[verb], f"{page}: {span}"


def test_a_command_names_files_of_this_project_that_exist() -> None:
    missing = {
        word
        for page in pages.NAMES
        for words in read(page).commands
        for word in words
        if re.match(r"(configs|slurm_templates|tests|\.ci)/", word) and not (ROOT / word).exists()
    }
    assert missing == set()


def test_the_readme_and_the_reference_have_all_commands_in_the_order_of_the_help() -> None:
    rows = re.findall(r"^\| `hpc (\w+)` \|", read("README.md").text, re.MULTILINE)
    sections = re.findall(r"^## (\w+)$", read("docs/reference/commands.md").text, re.MULTILINE)
    assert rows == sections == list(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_the_reference_lists_the_options_of_a_command(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    section = read("docs/reference/commands.md").text.split(f"\n## {verb}\n")[1].split("\n## ")[0]
    listed = set(re.findall(r"^\| `(--[\w-]+)", section, re.MULTILINE))
    shared = SHARED_OPTIONS | (RUN_OPTIONS if verb in ABOUT_A_RUN else set())
    assert listed == options(verb, capsys) - shared


def test_the_readme_and_the_reference_list_every_command() -> None:
    readme = {row[0] for row in read("README.md").table("Commands")}
    assert readme == {f"`hpc {verb}`" for verb in VERBS}
    headings = re.findall(r"^## (\w+)$", read("docs/reference/commands.md").text, re.MULTILINE)
    assert set(headings) == set(VERBS)


COMPLETE = [
    (page, block.title)
    for page in pages.NAMES
    for block in read(page).blocks
    if block.language == "yaml" and block.title
]


@pytest.mark.parametrize(("page", "title"), [c for c in COMPLETE if c[1] != "wordcount.yaml"])
def test_a_configuration_in_a_page_can_be_planned(
    page: str, title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this machine instead of a cluster, with a backlog of one post."""
    for block in read(page).blocks:
        if block.title:
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
    for folder in ("configs", "slurm_templates"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    key = tmp_path / ".perspective_key"
    key.touch(mode=0o600)
    key.write_text("a-key-for-tests")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with sqlite3.connect("filtered_posts.db") as database:
        database.execute(
            "CREATE TABLE preprocessed_posts (uri TEXT, text TEXT, preprocessing_timestamp TEXT)"
        )
        database.execute(
            "INSERT INTO preprocessed_posts VALUES ('a', 'Good morning', '2024-05-31-13:00:00')"
        )
    arguments = ["--config", title, "--set", "cluster.executor=local", "--dry-run"]
    if "type: external" in Path(title).read_text(encoding="utf-8"):
        arguments.append("--plan-only")
    with pytest.raises(SystemExit) as end:
        cli.main(importlib.import_module("hpc.submit").VERB, arguments)
    assert end.value.code == 0
