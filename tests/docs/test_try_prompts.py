"""The commands of the page on trying prompts run, with a stand-in for the LLM server."""

from pathlib import Path

from tests.docs.pages import read
from tests.docs.test_tutorials import Reader
from tests.servers.openai_stub import OpenAIStub, completion

PAGE = "docs/how-to/try-prompts.md"


def test_the_page_on_trying_prompts_compares_two_with_each_other_and_with_gold(
    tmp_path: Path,
) -> None:
    reader = Reader(tmp_path)
    with OpenAIStub(lambda body, nth: completion('{"hostile": false}')) as server:
        reader.save_files(read(PAGE).blocks)
        for name in ("short.yaml", "strict.yaml"):
            path = tmp_path / name
            path.write_text(path.read_text().replace("http://localhost:8000/v1", server.base_url))
        # Labels of sixty posts, in place of those that people gave.
        reader.type(
            "hpc submit --config short.yaml --set name=gold_anna --limit 60 "
            "--set classifier.structured_output=json_schema"
        )
        first, second = (" ".join(words) for words in read(PAGE).commands)
        assert "hostile" in reader.type(first)
        assert "gold_anna" in reader.type(second)
