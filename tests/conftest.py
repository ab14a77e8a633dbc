"""Property-based tests: no deadlines on noisy machines; in CI always the same examples, so that a
red run is the change's doing and can be run again. A developer's machine goes on searching.

And nothing is written to a developer's home: quotas are shared there."""

import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

from tests.servers.llama import LlamaServer

MEMORY_FOLDER = Path("/dev/shm")
# What the files of the tests take, several times over. What passes is removed at once.
ROOM_BYTES = 6 * 1024**3

# Of each property that does not say how many it needs.
EXAMPLES = int(os.environ.get("EXAMPLES", "40"))

settings.register_profile("search", deadline=None, max_examples=EXAMPLES)
settings.register_profile("ci", deadline=None, max_examples=EXAMPLES, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "search")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the files of the tests in memory if there is room: a disk takes milliseconds to sync a
    file, the tests sync ten thousands, and none of them survives a power failure anyway.

    Let Ctrl-C reach the processes that the tests start."""
    if _has_room_in_memory():
        tempfile.tempdir = str(MEMORY_FOLDER)
    # A shell's background jobs ignore SIGINT, and what the tests start would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _has_room_in_memory() -> bool:
    try:
        space = os.statvfs(MEMORY_FOLDER)
    except OSError:
        return False
    free = min(space.f_bavail * space.f_frsize, psutil.virtual_memory().available)
    runs_programs = not space.f_flag & os.ST_NOEXEC
    return free >= ROOM_BYTES and runs_programs and os.access(MEMORY_FOLDER, os.W_OK)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Import the tests without collections of garbage, which find none: 5.8 s instead of 9.5 s."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep eight thousand tests and all modules out of every later collection of garbage."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        # Of what the tests start. What is killed leaves its temporary files behind.
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
        yield


@pytest.fixture(scope="session")
def llama_cpp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    """A llama-cpp-python server with a tiny model of random weights."""
    gguf_model = pytest.importorskip("tests.servers.gguf_model")
    model = gguf_model.write_model(tmp_path_factory.mktemp("llama") / "tiny.gguf")
    with LlamaServer(model) as running:
        yield running
