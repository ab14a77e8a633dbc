"""What is done to a run, each act by itself. An act says what it did, or None where there was
nothing to do it to: then it is tried again later. Those on tasks and nodes: `deaths`; what runs
out: `shortages`."""

import os
import random
from collections.abc import Callable

from tests.slurm.chaos.deaths import (
    cancel_an_index,
    kill_a_slurmd,
    kill_a_step,
    kill_a_task,
    open_a_black_hole,
    preempt,
    run_out_of_memory,
    run_out_of_time,
    start_a_copy,
    wake_a_stale_attempt,
)
from tests.slurm.chaos.shortages import (
    exhaust_the_descriptors,
    exhaust_the_inodes,
    fill_the_disk,
)
from tests.slurm.chaos.site import SHARDS, Done, Later, Site

Act = Callable[[Site, random.Random], Done]


def stop_slurmdbd(site: Site, chance: random.Random) -> Done:
    if not site.accounting_up:
        return None
    site.cluster.stop_slurmdbd()
    site.accounting_up = False

    def back() -> str:
        site.cluster.start_slurmdbd()
        site.accounting_up = True
        return "slurmdbd is back"

    return "slurmdbd is away", [Later(back, chance.uniform(5, 20))]


def restart_slurmctld(site: Site, chance: random.Random) -> Done:
    if not site.controller_up:
        return None
    site.controller_up = False
    site.cluster.stop_slurmctld()

    def back() -> str:
        site.cluster.start_slurmctld()
        site.controller_up = True
        return "slurmctld is back"

    return "slurmctld is away", [Later(back, chance.uniform(0, 8))]


def show_nothing(site: Site, chance: random.Random) -> Done:
    """squeue and sacct succeed and print nothing, as under PrivateData, for longer than the grace
    time. Only while tasks work: nothing else proves that the empty answers are wrong."""
    if site.blindfold.exists() or site.count_heartbeats() < 2:
        return None
    site.blindfold.touch()

    def back() -> str:
        site.blindfold.unlink()
        return "Slurm shows the jobs again"

    return "Slurm shows no job", [Later(back, chance.uniform(8, 20))]


def kill_the_supervisor(site: Site, chance: random.Random) -> Done:
    """Some times in a row: now, at other moments, and while it submits, where it does so soon."""
    if not site.supervisor.kill():
        return None

    def at_random() -> str | None:
        return "kill -9 of the supervisor again" if site.supervisor.kill() else None

    def while_it_submits() -> str | None:
        begun = sorted({*site.begun_submissions()} - site.interrupted)
        if begun and site.supervisor.kill():
            site.interrupted.update(begun)
            return f"kill -9 of the supervisor while it submits {begun}"
        return "" if site.all_published() else None

    more = [Later(at_random, chance.uniform(0.5, 12)) for _ in range(1 + chance.randrange(3))]
    more += [Later(while_it_submits, 1) for _ in range(1 + chance.randrange(2))]
    return f"kill -9 of the supervisor, and {len(more)} times more", more


def lower_the_submit_limit(site: Site, chance: random.Random) -> Done:
    """The user may have fewer jobs than are alive, and then as many as before."""
    if site.limit_is_low or not (site.accounting_up and site.controller_up):
        return None
    jobs = chance.randint(1, 4)
    site.limit_jobs(jobs)
    site.limit_is_low = True

    def back() -> str | None:
        if not site.accounting_up:
            return None
        site.limit_jobs(-1)
        site.limit_is_low = False
        return "the user may have any number of submitted jobs"

    return f"the user may have {jobs} submitted jobs", [Later(back, chance.uniform(5, 15))]


def cut_an_output(site: Site, chance: random.Random) -> Done:
    outputs = {index: path for index, path in site.outputs().items() if index not in site.stale}
    if not outputs:
        return None
    _, path = chance.choice(sorted(outputs.items()))
    size = path.stat().st_size
    os.truncate(path, chance.randrange(size))
    site.toll.redone += site.posts // SHARDS
    return f"{path.name} is cut from {size} to {path.stat().st_size} bytes", []


def endpoint_out(site: Site, chance: random.Random) -> Done:
    """Shorter than a task's patience: nothing has to die of it."""
    seconds = chance.uniform(3, 8)
    site.endpoint.go_out(seconds)
    return f"503 from the endpoint for {seconds:.0f} s", []


# With their weights once each has been done.
ACTS: dict[Act, float] = {
    wake_a_stale_attempt: 1.0,
    kill_a_slurmd: 1.0,
    kill_a_task: 3.0,
    start_a_copy: 1.0,
    open_a_black_hole: 1.0,
    kill_a_step: 2.0,
    run_out_of_memory: 1.5,
    run_out_of_time: 2.0,
    preempt: 1.5,
    cancel_an_index: 1.5,
    stop_slurmdbd: 1.0,
    restart_slurmctld: 1.0,
    show_nothing: 1.0,
    kill_the_supervisor: 2.5,
    lower_the_submit_limit: 1.5,
    cut_an_output: 1.5,
    fill_the_disk: 1.5,
    exhaust_the_inodes: 1.5,
    exhaust_the_descriptors: 1.5,
    endpoint_out: 1.0,
}
