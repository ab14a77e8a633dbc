"""The page on guard models: its commands label posts, with a real server and random weights."""

from pathlib import Path

import pytest

from tests.docs.pages import ROOT, read
from tests.docs.test_tutorials import Reader
from tests.servers.llama import LlamaServer

PAGE = read("docs/how-to/guard-models.md")
# Random weights say no words of their own accord.
GRAMMAR = '{grammar: "root ::= (\\"yes\\" | \\"no\\")"}'


@pytest.mark.llama
def test_the_configuration_of_the_page_labels_posts(
    llama_cpp_server: LlamaServer, tmp_path: Path
) -> None:
    (tmp_path / "reader").mkdir()
    reader = Reader(tmp_path / "reader")
    reader.save_files(PAGE.blocks)
    path = reader.folder / "guard.yaml"
    address = f"base_url: {llama_cpp_server.base_url}\n  request: {GRAMMAR}\n  top_logprobs: 400"
    path.write_text(path.read_text().replace("base_url: http://localhost:8000/v1", address))
    (block,) = (block for block in PAGE.blocks if "guard.yaml" in block.text and not block.title)
    for line in block.text.splitlines():
        reader.type(line.removeprefix("$ "))
    rows = reader.query("SELECT spam, prob_spam, was_successfully_labeled FROM labels_guard")
    assert len(rows) == 5
    assert all(isinstance(spam, bool) and 0 < float(str(p)) < 1 for spam, p, _ in rows)
    assert len((reader.folder / "spam.csv").read_text().splitlines()) == 6


def test_every_configuration_of_the_project_for_a_guard_model_is_in_the_table() -> None:
    shipped = {f"`configs/{path.name}`" for path in (ROOT / "configs").glob("guard_*.yaml")}
    assert {row[0] for row in PAGE.table("Try it")} == shipped
