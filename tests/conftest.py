"""Property-based tests: no deadlines on noisy machines; in CI always the same examples, so that a
red run is the change's doing and can be run again. A developer's machine goes on searching.

And nothing is written to a developer's home: quotas are shared there."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.servers.llama import LlamaServer

settings.register_profile("search", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "search")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes share the tests by file, those that wait for a Slurm begin: they take
    the longest, and whoever is through with them goes on with the others."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: "slurm" not in item.path.parts)


@pytest.fixture(autouse=True, scope="session")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def llama_cpp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    """A llama-cpp-python server with a tiny model of random weights."""
    gguf_model = pytest.importorskip("tests.servers.gguf_model")
    model = gguf_model.write_model(tmp_path_factory.mktemp("llama") / "tiny.gguf")
    with LlamaServer(model) as running:
        yield running
