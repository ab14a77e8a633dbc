"""The page on other engines, typed from top to bottom, and its examples with the real engines."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import read
from tests.docs.test_tutorials import Reader
from tests.servers.http import Reply
from tests.servers.openai_stub import OpenAIStub, completion

PAGE = "docs/how-to/hand-over-to-another-engine.md"
MODEL = "Qwen/Qwen3-235B-A22B-Instruct-2507"
# Where `.ci/test-other-engines` installs them.
FOLDER = "HPC_TEST_OTHER_ENGINES"


def test_the_page_ends_with_the_labels_of_another_engine(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    reader.follow(PAGE)
    rows = reader.query(
        "SELECT count(*), count(toxic), count(DISTINCT attempt), any_value(model) "
        "FROM labels_stance"
    )
    ((posts, labeled, adoptions, model),) = rows
    assert (posts, adoptions, model) == (400, 1, MODEL)
    assert 0 < int(str(labeled)) <= 400
    assert (tmp_path / "stance.csv").is_file()


@pytest.fixture
def planned(tmp_path: Path) -> Reader:
    """A reader who has planned a run of 400 posts, and saved the page's scripts."""
    reader = Reader(tmp_path)
    reader.save_files(read(PAGE).blocks)
    reader.type("hpc submit --config external.yaml --plan-only --limit 400")
    return reader


def run_engine(reader: Reader, script: str, *arguments: str) -> Path:
    """Run a script of the page with the Python of the engines; return the run's folder."""
    folder = os.environ.get(FOLDER)
    if not folder:
        pytest.skip("needs other engines: bash .ci/test-other-engines")
    (run,) = reader.folder.glob("runs/*-stance-*")
    done = subprocess.run(
        [f"{folder}/bin/python", script, str(run), *arguments], cwd=reader.folder,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return run


def answer(body: dict[str, Any], _: int) -> Reply:
    """Answer with labels that follow from the post, or without JSON if its text is odd."""
    text = str(body["messages"][-1]["content"])
    content = json.dumps({"toxic": "hate" in text, "stance": "left"})
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    return completion(content if len(text) % 7 else "I would rather not", usage=usage)


@pytest.mark.engines
def test_datatrove_labels_a_run(planned: Reader) -> None:
    with OpenAIStub(answer, models=(MODEL,)) as server:
        run = run_engine(planned, "label_with_datatrove.py", server.url, MODEL)
    planned.type(f"hpc adopt {run}/answers --engine 'datatrove 0.10.1'")
    rows = planned.query("SELECT text, toxic, stance, reason FROM labels_stance")
    assert len(rows) == 400
    for text, toxic, stance, reason in rows:
        if reason is None:
            assert (toxic, stance) == ("hate" in str(text), "left")
        else:
            assert reason == "text_too_short" or len(str(text)) % 7 == 0
    assert planned.query("SELECT count(*) > 0 FROM labels_stance WHERE toxic IS NULL") == [(True,)]


@pytest.mark.engines
def test_ray_data_labels_a_run(planned: Reader) -> None:
    run = run_engine(planned, "label_with_ray.py")
    planned.type(f"hpc adopt {run}/answers --engine 'Ray Data 2.60.0'")
    rows = planned.query("SELECT text, toxic, stance, reason FROM labels_stance")
    assert len(rows) == 400
    for text, toxic, stance, reason in rows:
        if reason is None:
            words = set(str(text).lower().split())
            assert (toxic, stance) == (not words.isdisjoint({"hate", "idiot"}), "unclear")
