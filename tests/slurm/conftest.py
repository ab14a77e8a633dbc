"""Real clusters for the tests of this folder, each booted once, when a test first asks for it."""

import os
import pathlib
from collections.abc import Iterator

import pytest

from tests.slurm.private_cluster.cluster import SlurmCluster, missing_programs
from tests.slurm.private_cluster.commands import Bench

PACKAGES = "slurmctld slurmd slurmdbd slurm-client slurm-wlm-basic-plugins munge mariadb-server"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip where no cluster can be booted; fail in CI, where a skip would go unnoticed."""
    if not item.get_closest_marker("slurm"):
        return
    if missing := missing_programs():
        reason = (
            f"no Slurm can be booted without {', '.join(missing)}: run .ci/install-slurm"
            f" (apt-get install {PACKAGES})"
        )
    elif os.geteuid() != 0:
        reason = "no Slurm can be booted without root: cgroups need it"
    else:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """Four nodes of 8 CPUs and 4,000 MB. Leave it as you found it: every test shares it."""
    with SlurmCluster(tmp_path_factory.mktemp("slurm")) as booted:
        yield booted


@pytest.fixture(scope="session")
def small_array_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """Two nodes, and a controller that takes array indices up to 5 only."""
    folder = tmp_path_factory.mktemp("slurm")
    with SlurmCluster(folder, nodes=2, max_array_size=6) as booted:
        yield booted


@pytest.fixture
def lone_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """One node of a test's own, not yet started: to be stopped, broken or killed."""
    own = SlurmCluster(tmp_path_factory.mktemp("slurm"), nodes=1)
    yield own
    own.stop()


@pytest.fixture
def bench(cluster: SlurmCluster, tmp_path: pathlib.Path) -> Bench:
    """A user's working folder on the shared cluster."""
    return Bench(cluster, tmp_path)
