"""Whatever happens to a run: each post has one row, and nothing was paid for twice beyond what was
in a dead task's hands."""

import os
import pathlib
import random

import pytest

from tests.slurm.chaos.acts import ACTS
from tests.slurm.chaos.endpoint import Endpoint
from tests.slurm.chaos.schedule import Figures, Schedule, describe_figures, figures
from tests.slurm.chaos.site import CPUS, NODES, SHARDS, Site
from tests.slurm.private_cluster.cluster import SlurmCluster

pytestmark = [pytest.mark.slurm, pytest.mark.chaos]

SEED = int(os.environ.get("CHAOS_SEED", "1"))
MINUTES = float(os.environ.get("CHAOS_MINUTES", "0"))
BOUNDED_S = 80.0
POSTS_A_SECOND = 12
# What may end a supervisor before its run is complete: there is nothing that it could do.
DISK_IS_FULL = "the disk or your quota is full"


def chaos(
    seed: int, minutes: float, folder: pathlib.Path, cluster: SlurmCluster, *, requeues: bool
) -> Figures:
    """
    Args:
        minutes: 0 for the bounded form, each act once.
        requeues: whether Slurm may put the tasks back into its queue.
    """
    seconds = minutes * 60 or BOUNDED_S
    count = round(seconds * POSTS_A_SECOND / SHARDS) * SHARDS
    schedule = Schedule(seed, seconds, again=bool(minutes))
    with (
        Endpoint(seed, rate=0.03) as endpoint,
        Site(cluster, folder, endpoint, posts=count, requeues=requeues) as site,
    ):
        site.submit()
        schedule.drive(site)
        counted = figures(site, schedule)
    print(describe_figures(seed, counted), flush=True)
    return counted


def test_no_disaster_loses_a_post_or_pays_for_it_twice(
    tmp_path: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chance = random.Random(f"{SEED} cluster")
    mode, requeues = chance.choice(["CANCEL", "REQUEUE"]), chance.random() < 0.5
    again = f"CHAOS_SEED={SEED} CHAOS_MINUTES={MINUTES:g}"
    print(
        f"\n{again}, PreemptMode={mode}, {'--requeue' if requeues else '--no-requeue'}", flush=True
    )
    try:
        folder = tmp_path_factory.mktemp("slurm")
        with SlurmCluster(folder, nodes=NODES, cpus=CPUS, preempt_mode=mode) as cluster:
            counted = chaos(SEED, MINUTES, tmp_path, cluster, requeues=requeues)
        assert (counted.rows, counted.uris, counted.wrong) == (counted.posts, counted.posts, 0)
        assert set(counted.reasons) <= {"poison"}
        assert counted.paid <= counted.bound
        assert counted.audit["whole"]
        assert set(counted.acts) == {act.__name__ for act in ACTS}
        assert all(DISK_IS_FULL in why for why in counted.ended_early)
    except BaseException:
        print(f"to see it again: {again}", flush=True)
        raise
