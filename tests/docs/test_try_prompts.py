"""The commands of the page on trying prompts run: with a stand-in, and with a real LLM server."""

from pathlib import Path

import pytest

from tests.docs.pages import read
from tests.docs.test_tutorials import Reader
from tests.servers.llama import LlamaServer
from tests.servers.openai_stub import OpenAIStub, completion

PAGE = "docs/how-to/try-prompts.md"


def prepared(folder: Path, base_url: str) -> tuple[Reader, list[str]]:
    """Return a reader who has the page's files, and the page's commands."""
    reader = Reader(folder)
    reader.save_files(read(PAGE).blocks)
    for name in ("short.yaml", "strict.yaml"):
        path = folder / name
        path.write_text(path.read_text().replace("http://localhost:8000/v1", base_url))
    return reader, [" ".join(words) for words in read(PAGE).commands]


def test_the_page_on_trying_prompts_compares_two_with_each_other_and_with_gold(
    tmp_path: Path,
) -> None:
    with OpenAIStub(lambda body, nth: completion('{"hostile": false}')) as server:
        reader, (two, with_gold) = prepared(tmp_path, server.base_url)
        # Labels of sixty posts, in place of those that people gave.
        reader.type(
            "hpc submit --config short.yaml --set name=gold_anna --limit 60 "
            "--set classifier.structured_output=json_schema"
        )
        assert "hostile false" in reader.type(two)
        assert "gold_anna and strict" in reader.type(with_gold)


@pytest.mark.llama
def test_a_real_server_answers_both_prompts(llama_cpp_server: LlamaServer, tmp_path: Path) -> None:
    reader, (two, _) = prepared(tmp_path, llama_cpp_server.base_url)
    printed = reader.type(two.replace("10", "2"))
    assert "short: 2 of 2 posts labeled" in printed
    assert "strict: 2 of 2 posts labeled" in printed
    assert "short and strict  hostile" in printed
