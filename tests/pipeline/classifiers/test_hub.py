"""A model of the hub: one commit, from the cache where it is whole there, and never a program."""

import os
from pathlib import Path

import pytest

from pipeline import last_words, output
from pipeline.classifiers import base
from pipeline.errors import Cause
from pipeline.last_words import LastWords
from pipeline.manifest import Manifest
from tests.pipeline import tasks
from tests.pipeline.builders import make_run, order, posts
from tests.servers.hub import COMMIT, HubServer

from .asking import section

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")
    pytest.importorskip("transformers")

from tests.pipeline import tiny_model

NAME = "lab/tiny-toxic"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As on the hub: beside the model there is what must not be fetched."""
    found = tiny_model.save(tmp_path / "on-the-hub")
    (found / "pytorch_model.bin").write_bytes(b"a pickle")
    (found / "modeling_own.py").write_text("raise SystemExit")
    (found / "README.md").write_text("about it")
    return found


def run_of(
    folder: Path, *, name: str = NAME, commit: str = COMMIT, run_id: str = "20240601T120000-x-1"
) -> tuple[Path, Manifest]:
    keys = {"type": "transformers", "model": name, "revision": commit}
    return make_run(folder, posts(5), classifier=base.freeze(section(keys)), run_id=run_id)


def at_work(run_dir: Path, hub: HubServer, home: Path) -> LastWords | None:
    """A task of this run, and how it ended."""
    tasks.run(
        order(run_dir),
        HF_ENDPOINT=hub.url,
        HF_HOME=str(home),
        HF_HUB_ETAG_TIMEOUT="2",
        OMP_NUM_THREADS="1",
    )
    return last_words.read(run_dir, 1, 0)


def test_what_a_model_consists_of_is_downloaded_once_and_labels(
    tmp_path: Path, folder: Path
) -> None:
    with HubServer(NAME, folder) as hub:
        run_dir, run = run_of(tmp_path)
        assert at_work(run_dir, hub, tmp_path / "home") is None
        assert sorted(hub.downloaded) == [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        ]
    _, table = output.read(run_dir, run, 0)
    assert table is not None
    expected = [row[0] for row in tiny_model.plain(folder, table["text"].to_pylist())]
    assert table["prob_toxic"].to_pylist() == pytest.approx(expected, abs=1e-5)
    assert set(table["model"].to_pylist()) == {f"{NAME}@{COMMIT} float32"}
    # The hub has gone, and nobody asks it.
    again, run = run_of(tmp_path, run_id="20240601T120000-x-2")
    assert at_work(again, hub, tmp_path / "home") is None
    assert output.verify(again, run, 0).verified


def test_a_cache_that_is_not_whole_is_completed(tmp_path: Path, folder: Path) -> None:
    with HubServer(NAME, folder) as hub:
        run_dir, _ = run_of(tmp_path)
        assert at_work(run_dir, hub, tmp_path / "home") is None
        (weights,) = (tmp_path / "home").rglob("snapshots/*/model.safetensors")
        weights.unlink()
        hub.downloaded.clear()
        again, run = run_of(tmp_path, run_id="20240601T120000-x-2")
        assert at_work(again, hub, tmp_path / "home") is None
        assert output.verify(again, run, 0).verified


@pytest.mark.parametrize(
    ("name", "commit"), [("lab/no-such", COMMIT), (NAME, "0123456789" * 4)], ids=["name", "commit"]
)
def test_a_model_that_the_hub_does_not_have_stops_the_run(
    tmp_path: Path, folder: Path, name: str, commit: str
) -> None:
    with HubServer(NAME, folder) as hub:
        run_dir, _ = run_of(tmp_path, name=name, commit=commit)
        words = at_work(run_dir, hub, tmp_path / "home")
    assert words is not None
    assert (words.cause, words.stops_run) == (Cause.REFUSED, True)
    assert words.message.startswith(
        f"the hub has no model {name} at {commit}, or does not show it without a token (hf auth "
        "login): "
    )


def test_a_hub_that_does_not_answer_is_tried_again_by_the_next_attempt(
    tmp_path: Path, folder: Path
) -> None:
    with HubServer(NAME, folder) as hub:
        hub.outage = True
        run_dir, _ = run_of(tmp_path)
        words = at_work(run_dir, hub, tmp_path / "home")
    assert words is not None
    assert (words.cause, words.stops_run) == (Cause.CRASHED, False)
    assert words.message.startswith(f"{NAME} cannot be fetched from the hub: ")
    assert f"hf download {NAME} --revision {COMMIT} on the login node" in words.message


def test_a_model_that_is_a_pickle_only_is_not_even_fetched(tmp_path: Path, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with HubServer(NAME, folder) as hub:
        run_dir, _ = run_of(tmp_path)
        words = at_work(run_dir, hub, tmp_path / "home")
        assert "pytorch_model.bin" not in hub.downloaded
    assert words is not None
    assert words.cause is Cause.REFUSED
    assert words.message.startswith(
        f"the model {NAME} cannot be used: it has no model.safetensors; weights that are a pickle"
    )
