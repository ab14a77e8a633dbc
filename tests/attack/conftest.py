"""The fault injector, compiled once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack import faults as injector
from tests.attack.faults import Faults
from tests.attack.world import World
from tests.hpc.cli_bench import ROOT
from tests.hpc.forked_verbs import ForkedVerbs


@pytest.fixture(scope="session")
def fault_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled injector; in CI a missing compiler is a failure, not a skip."""
    try:
        return injector.build(tmp_path_factory.mktemp("fault-injector"))
    except injector.NoCompilerError:
        if os.environ.get("CI") == "true":
            pytest.fail("no C compiler")
        pytest.skip("no C compiler")


@pytest.fixture(scope="session")
def verbs_with_injector(fault_library: Path) -> Iterator[ForkedVerbs]:
    """Verbs that obey the table of faults in their environment."""
    environment = {**os.environ, "LD_PRELOAD": str(fault_library)}
    with ForkedVerbs(ROOT, environment) as verbs:
        yield verbs


@pytest.fixture
def faults(fault_library: Path, verbs_with_injector: ForkedVerbs, tmp_path: Path) -> Faults:
    """Faults of this test's processes; none so far."""
    return Faults(fault_library, tmp_path, verbs_with_injector)


@pytest.fixture(scope="session")
def world(fault_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A project to attack; whoever attacks it restores it first."""
    folder = tmp_path_factory.mktemp("world")
    made = World(folder, Faults(fault_library, folder))
    yield made
    made.close()
