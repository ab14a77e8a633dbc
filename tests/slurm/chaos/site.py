"""Where chaos happens: a run of 12 shards on a cluster of its own, its folder on a small disk, its
supervisor, its tasks and their processes, and what all that was done to it may cost."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from hpc.naming.job_names import new_prefix
from tests.slurm.chaos.endpoint import KEY, TIMEOUT_S, Endpoint
from tests.slurm.chaos.supervisor import Supervisor
from tests.slurm.private_cluster import watchdog
from tests.slurm.private_cluster.cluster import ACCOUNT, SlurmCluster
from tests.slurm.private_cluster.commands import Bench
from tests.slurm.private_cluster.posts import json_lines

# Few tasks a node, so that a node is not all of them.
SHARDS, NODES, CPUS, PARALLEL = 12, 4, 2, 6
CHECKPOINT_ROWS, IN_FLIGHT = 10, 4
DISK, INODES = "24m", 4000


@dataclass(frozen=True, slots=True)
class Task:
    """A task that Slurm says is running. `job` is its own id: one task of an array has the array's,
    by which a command would mean all of them."""

    job: int
    array: int
    index: int
    node: str

    @property
    def id(self) -> str:
        return f"{self.array}_{self.index}"

    @property
    def name(self) -> str:
        return f"{self.id} on {self.node}"


@dataclass(frozen=True, slots=True)
class Later:
    """What belongs to an act and comes after it, in `seconds` at the earliest.
    It returns what it did, '' where nothing is left to do, None to be asked again."""

    do: Callable[[], str | None]
    seconds: float = 0.0


# What an act did, in words, and what comes of it later; None where there was nothing to do it to.
Done = tuple[str, list[Later]] | None


@dataclass(slots=True)
class Toll:
    """What the acts did, as far as it may cost requests or need a person.

    `lives` of tasks that may have ended, by act; `stale`: tasks that may have gone on beside their
    successors; `redone`: posts of shards whose published output
    was cut; `cancelled`: shards that were cancelled on purpose; `persons`: what a person was
    needed for, beside those.
    """

    lives: Counter[str] = field(default_factory=Counter)
    stale: int = 0
    redone: int = 0
    cancelled: set[int] = field(default_factory=set)
    forced: int = 0
    persons: list[str] = field(default_factory=list)

    def bound(self, posts: int, late: int) -> int:
        """A life that ends loses what it has in flight, and nothing else: each answer is in a part
        or in the journal. A stale attempt goes on until its next part, where it sees that it was
        overtaken, with what it had in flight before and has then."""
        lost = sum(self.lives.values()) * IN_FLIGHT
        asked_beside = self.stale * (CHECKPOINT_ROWS + 2 * IN_FLIGHT)
        return posts + lost + asked_beside + late + self.redone


def _opens(path: pathlib.Path) -> bool:
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowInvalid):
        return False
    return True


class Site:
    """In a `with`: unmounts, thaws and ends whatever it began."""

    def __init__(
        self,
        cluster: SlurmCluster,
        folder: pathlib.Path,
        endpoint: Endpoint,
        *,
        posts: int,
        requeues: bool,
    ) -> None:
        self.cluster, self.endpoint, self.posts = cluster, endpoint, posts
        self.bench = Bench(cluster, folder)
        self.bench.env["PERSPECTIVE_API_KEY"] = KEY
        self.requeues = requeues
        self.disk = folder / "disk"
        self.database = self.disk / "labels.duckdb"
        # What the acts fill the disk with.
        self.ballast = self.disk / "ballast"
        self.toll = Toll()
        self.controller_up = True
        self.accounting_up = True
        self.down: set[str] = set()
        self.stale: set[int] = set()
        self.frozen: set[int] = set()
        self.disk_is_full = False
        self.limit_is_low = False
        # Submissions in which the supervisor was killed: once is enough, that they come to an end.
        self.interrupted: set[int] = set()
        # While this file exists, the supervisor sees no job, and no error.
        self.blindfold = folder / "blindfold"
        for program in ("squeue", "sacct"):
            self.bench.env |= self.bench.shim(program, f"[ -e {self.blindfold} ] && exit 0")
        self._began = time.monotonic()
        self.supervisor = Supervisor(self.bench)

    def __enter__(self) -> "Site":
        self.disk.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK},nr_inodes={INODES}", "chaos", self.disk],
            check=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.kill()
        for pid in self.frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        watchdog.end_jobs(f"{self.cluster.name}n*")
        self.keep_what_is_left()
        # Lazily: whatever still holds a log there must not keep the mount from going.
        subprocess.run(["umount", "--lazy", self.disk], check=True)

    def keep_what_is_left(self) -> None:
        """The small disk's content, for who wants to know why: it goes with its mount."""
        leave_out = shutil.ignore_patterns(self.ballast.name)
        with contextlib.suppress(OSError, shutil.Error):
            shutil.copytree(self.disk, self.disk.with_name("disk-after"), ignore=leave_out)

    def say(self, line: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f}  {line}", flush=True)

    def submit(self) -> None:
        config = self.bench.config(
            json_lines(self.bench.folder / "posts.jsonl", self.posts),
            sharding={"shards": SHARDS},
            classifier={
                "type": "perspective",
                "base_url": self.endpoint.url,
                "requests_per_minute": 60_000,
                "max_in_flight": IN_FLIGHT,
                "timeout_seconds": TIMEOUT_S,
            },
            checkpoint={"rows": CHECKPOINT_ROWS, "seconds": 20},
            cluster={
                "time_min": 10,
                "max_parallel": PARALLEL,
                "grace_seconds": 6,
                "poll_seconds": 1,
                "setup": [f"test ! -e {self.black_hole('$SLURMD_NODENAME')}"],
                "extra": {} if self.requeues else {"no-requeue": True},
            },
            storage={"run_root": str(self.disk / "runs"), "database": str(self.database)},
            # More is done to a shard here than four attempts are meant to bear.
            retry={"max_attempts": 100, "max_poison": 1000, "stall_minutes": 1.0,
                   "restart_stalled": True},
        )  # fmt: skip
        self.config = config
        submitted = self.bench.document("submit", "--config", config)
        assert (submitted["posts"], submitted["shards"]) == (self.posts, SHARDS)
        self.run_dir = pathlib.Path(submitted["run_dir"])

    def black_hole(self, node: str) -> pathlib.Path:
        """The file that makes a node end every task before its first line."""
        return self.disk.with_name(f"black-hole-{node}")

    def limit_jobs(self, count: int) -> None:
        """Set how many jobs of the account its user may have submitted; -1 for any number."""
        user = ("user", "root", "where", f"account={ACCOUNT}")
        self.cluster.run("sacctmgr", "-i", "modify", *user, "set", f"MaxSubmitJobs={count}")

    def outputs(self) -> dict[int, pathlib.Path]:
        """The published outputs by shard; not one that was cut, until it is published again."""
        paths = (self.run_dir / "outputs").glob("0*.parquet")
        return {int(path.stem): path for path in paths if _opens(path)}

    def all_published(self) -> bool:
        return len(self.outputs()) == SHARDS

    def count_heartbeats(self) -> int:
        """Count the shards whose tasks have written a heartbeat in the last seconds."""
        age = {}
        for path in (self.run_dir / "work").glob("0*/*.heartbeat.json"):
            with contextlib.suppress(FileNotFoundError):  # its shard is published
                age[path.parent.name] = time.time() - path.stat().st_mtime
        return sum(seconds < 30 for seconds in age.values())

    def begun_submissions(self) -> list[int]:
        """The numbers of those whose array was not released yet."""
        begun = []
        for path in (self.run_dir / "submissions").glob("0*.json"):
            with contextlib.suppress(FileNotFoundError):  # withdrawn meanwhile
                if json.loads(path.read_text())["released_at"] is None:
                    begun.append(int(path.stem))
        return begun

    def lives(self) -> dict[str, int]:
        """How the lives of the run's tasks ended in Slurm's words, those of requeued ones too."""
        jobs = [
            str(json.loads(path.read_text())["array_job_id"])
            for path in (self.run_dir / "submissions").glob("0*.json")
        ]
        listing = self.cluster.run(
            "sacct", "-n", "-P", "-X", "-D", "-j", ",".join(jobs), "-o", "State"
        )
        return dict(Counter(line.split()[0] for line in listing.splitlines()))

    def running(self) -> list[Task]:
        """The run's running tasks on nodes that are up; none while the controller is down."""
        if not self.controller_up:
            return []
        listing = self.cluster.call("squeue", "-h", "-t", "R", "-o", "%A|%F|%K|%N|%j").stdout
        rows = [line.split("|") for line in listing.splitlines()]
        return [
            Task(int(job), int(array), int(index), node)
            for job, array, index, node, name in rows
            if name.startswith(new_prefix(self.run_dir.name, "")) and node not in self.down
        ]

    def hurry(self) -> None:
        """Slurm lets a requeued job wait two minutes; nobody here has that long."""
        if not self.controller_up:
            return
        columns = "ArrayJobID:20,ArrayTaskID:200,RestartCnt:10,Reason:40"
        listing = self.cluster.call("squeue", "-h", "-t", "PD", "-O", columns).stdout
        for array, index, restarts, reason in (line.split()[:4] for line in listing.splitlines()):
            # Not what waits for its release by a submitter.
            if restarts != "0" and reason == "BeginTime":
                self.cluster.call("scontrol", "update", f"JobId={array}_{index}", "StartTime=now")

    def processes(self, task: Task, step: str = "step_0") -> list[int]:
        """The pids of a step, its slurmstepd included; of all steps with `step_*`."""
        pids = {
            pid
            for node in watchdog.cgroups(task.node)
            for folder in node.rglob(f"job_{task.job}")
            for cgroup in folder.glob(step)
            for pid in watchdog.processes(cgroup)
        }
        return sorted(pids)

    def worker(self, task: Task) -> int | None:
        """The pid of the task's own Python, once it has begun."""
        for pid in self.processes(task):
            with contextlib.suppress(OSError):
                command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
                if b"pipeline.worker" in command and not command.startswith(b"slurmstepd"):
                    return pid
        return None

    def kill(self, pids: list[int]) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @contextlib.contextmanager
    def counting(self, act: str, tasks: Callable[[], list[Task]]) -> Iterator[None]:
        """Counts as lives what runs before and what runs after the block."""
        before = {task.job for task in tasks()}
        yield
        self.toll.lives[act] += len(before | {task.job for task in tasks()})
