"""A model of the hub: one commit, from the cache where it is whole there, and never a program."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.classifiers.transformers.model_folder import BadModel, describe
from pipeline.run_files import last_words, output
from tests.pipeline import task_processes
from tests.pipeline.classifiers.classifier_setup import frozen_options
from tests.pipeline.run_builders import make_run, order, posts
from tests.servers.hub import COMMIT, HubServer

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")
    pytest.importorskip("transformers")

from tests.pipeline.classifiers.transformers import tiny_model

NAME = "lab/tiny-toxic"
MODEL = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
FETCH = """
import json, sys
from pipeline.classifiers.transformers import hub
from pipeline.errors import TaskError
try:
    print(json.dumps(["fetched", str(hub.fetch(*sys.argv[1:]))]))
except TaskError as error:
    print(json.dumps([error.cause, str(error)]))
"""


@pytest.fixture
def published_model(tmp_path: Path) -> Path:
    """As on the hub: beside the model there is what must not be fetched."""
    found = tiny_model.save(tmp_path / "on-the-hub")
    (found / "pytorch_model.bin").write_bytes(b"a pickle")
    (found / "modeling_own.py").write_text("raise SystemExit")
    (found / "README.md").write_text("about it")
    return found


def environment(hub: HubServer, home: Path) -> dict[str, str]:
    """Read when the hub's library is imported: hence processes."""
    return {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_ETAG_TIMEOUT": "2"}


def fetched(
    hub: HubServer, home: Path, *, name: str = NAME, commit: str = COMMIT, **variables: str
) -> tuple[str, str]:
    """("fetched", the folder), or the cause and the message."""
    done = subprocess.run(
        [sys.executable, "-c", FETCH, name, commit],
        env=os.environ | environment(hub, home) | variables,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    what, told = json.loads(done.stdout)
    return what, told


def test_a_model_of_the_hub_labels_and_is_named_with_its_commit(
    tmp_path: Path, published_model: Path
) -> None:
    of_hub = {"type": "transformers", "model": NAME, "revision": COMMIT}
    frozen = frozen_options(of_hub | {"dtype": "float32"})
    run_dir, run = make_run(tmp_path, posts(5), classifier=frozen)
    with HubServer(NAME, published_model) as hub:
        one_thread = replace(order(run_dir), parallel_tasks=1_000)
        task_processes.run(one_thread, **environment(hub, tmp_path / "home"))
    assert last_words.read(run_dir, 1, 0) is None
    _, table = output.read(run_dir, run, 0)
    assert table is not None
    expected = [row[0] for row in tiny_model.plain(published_model, table["text"].to_pylist())]
    assert table["prob_toxic"].to_pylist() == pytest.approx(expected, abs=1e-5)
    assert set(table["model"].to_pylist()) == {f"{NAME}@{COMMIT} float32"}


def test_what_a_model_consists_of_is_downloaded_once_and_no_program_with_it(
    tmp_path: Path, published_model: Path
) -> None:
    home = tmp_path / "home"
    with HubServer(NAME, published_model) as hub:
        what, where = fetched(hub, home)
        assert what == "fetched"
        assert sorted(path.name for path in Path(where).iterdir()) == MODEL
        assert sorted(hub.downloaded) == MODEL
        asked = hub.requests
        assert fetched(hub, home) == ("fetched", where)
        assert hub.requests == asked


def test_a_cache_that_is_not_whole_is_completed(tmp_path: Path, published_model: Path) -> None:
    home = tmp_path / "home"
    with HubServer(NAME, published_model) as hub:
        _, where = fetched(hub, home)
        (Path(where) / "model.safetensors").unlink()
        # Older versions of the hub's library kept no list of what there is.
        for listing in home.rglob("trees/*.json"):
            listing.unlink()
        assert fetched(hub, home) == ("fetched", where)
        assert (Path(where) / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("name", "commit"), [("lab/no-such", COMMIT), (NAME, "0123456789" * 4)], ids=["name", "commit"]
)
def test_a_model_that_the_hub_does_not_have_is_refused(
    tmp_path: Path, published_model: Path, name: str, commit: str
) -> None:
    with HubServer(NAME, published_model) as hub:
        cause, message = fetched(hub, tmp_path / "home", name=name, commit=commit)
    assert cause == "refused"
    assert message.startswith(
        f"the hub has no model {name} at {commit}, or hides it from requests without a token "
        "(hf auth login): "
    )


@pytest.mark.parametrize("by_proxy", [False, True])
def test_a_hub_that_cannot_be_reached_is_tried_again_by_the_next_attempt(
    tmp_path: Path, published_model: Path, by_proxy: bool
) -> None:
    with HubServer(NAME, published_model) as hub:
        if by_proxy:  # one that makes no tunnels
            proxy = {"HTTPS_PROXY": hub.url, "https_proxy": hub.url, "NO_PROXY": "", "no_proxy": ""}
            endpoint = {"HF_ENDPOINT": "https://127.0.0.1:9"}
            cause, message = fetched(hub, tmp_path / "home", **endpoint, **proxy)
    if not by_proxy:
        cause, message = fetched(hub, tmp_path / "home")
    assert cause == "unavailable"
    assert message.startswith(f"{NAME} cannot be downloaded from the hub: ")
    assert f"hf download {NAME} --revision {COMMIT} on the login node" in message


def test_a_model_that_is_a_pickle_only_is_not_even_fetched(
    tmp_path: Path, published_model: Path
) -> None:
    (published_model / "model.safetensors").unlink()
    with HubServer(NAME, published_model) as hub:
        _, where = fetched(hub, tmp_path / "home")
        assert "pytorch_model.bin" not in hub.downloaded
    with pytest.raises(BadModel, match=r"^it has no model\.safetensors; weights that are a pickle"):
        describe(Path(where))
