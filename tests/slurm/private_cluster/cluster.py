"""A whole Slurm of the tests' own: munge, MariaDB, slurmdbd, slurmctld and some slurmd.

Real states, real accounting and real out-of-memory kills in a few seconds, on one machine, with
no installation and no systemd. Needs root (cgroups) and the programs that `missing_programs`
names. The daemons are children of this process; whatever happens to it, they end with it.
"""

import contextlib
import functools
import pathlib
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType

from tests.slurm.private_cluster import conf, watchdog
from tests.slurm.private_cluster.daemons import Daemon, Watchdog, accepts, reserve_ports, wait_for
from tests.slurm.private_cluster.programs import commands, environment, missing_programs

__all__ = ["ACCOUNT", "SlurmCluster", "missing_programs", "wait_for"]

ACCOUNT = "kellogg"
BOOT_TIMEOUT_S = 60.0
UP = ("idle", "mixed", "allocated", "completing")


class SlurmCluster:
    """Boots on `start()` or `with`; `stop()` leaves only configuration and logs, in `folder`.

    Partitions `normal` (default, 48 h), `short` (4 h) and `high`, whose jobs preempt those of
    `normal` (`preempt_mode`: CANCEL or REQUEUE) and of `requeued` (REQUEUE). Account `kellogg`;
    jobs run as root. Accounting lags the controller by some three seconds, as Slurm's does: wait
    for it.

    Args:
        folder: for configuration, state and logs (`folder/log`); made where missing.
        memory_mb, cpus: of a node, whatever the machine has; a job gets memory_mb / cpus a CPU.
        gpus: of each node; there are none, but Slurm hands them out.
        threads_per_core: more than 1 makes Slurm allocate whole cores (CR_Core_Memory).
        extra_conf: further lines of slurm.conf.
        before_slurmd: what starts each slurmd, given its command; it has to become it.
        beside: a running cluster of the same site, whose slurmdbd and munge this one shares, so
            that `-M` of the commands leads from one to the other.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        nodes: int = 4,
        cpus: int = 8,
        memory_mb: int = 4000,
        max_array_size: int | None = None,
        preempt_mode: str = "CANCEL",
        gpus: int = 0,
        threads_per_core: int = 1,
        extra_conf: Sequence[str] = (),
        before_slurmd: Sequence[str] = (),
        beside: "SlurmCluster | None" = None,
    ) -> None:
        self.folder = folder
        neighbor: conf.Layout | None = beside._layout if beside else None
        self._reserved = reserve_ports(2 + nodes)
        ports = [bound.getsockname()[1] for bound in self._reserved]
        self._layout: conf.Layout = conf.Layout(
            folder=folder,
            sockets=pathlib.Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp")),
            ctld_port=ports[0],
            dbd_port=neighbor.dbd_port if neighbor else ports[1],
            node_ports=tuple(ports[2:]),
            cpus=cpus,
            memory_mb=memory_mb,
            max_array_size=max_array_size,
            preempt_mode=preempt_mode,
            gpus=gpus,
            threads_per_core=threads_per_core,
            extra_conf=tuple(extra_conf),
            before_slurmd=tuple(before_slurmd),
            neighbor=neighbor,
        )
        self._daemons: dict[str, Daemon] = {}
        self._watchdog: Watchdog | None = None

    @property
    def name(self) -> str:
        return self._layout.name

    @property
    def node_names(self) -> tuple[str, ...]:
        """In order; unique on this machine, so not n1, n2, …"""
        return self._layout.node_names

    @property
    def env(self) -> dict[str, str]:
        """What a client needs on top of its environment."""
        return {"SLURM_CONF": str(self._layout.slurm_conf)}

    @property
    def pids(self) -> dict[str, int]:
        """The daemons that run (and the watchdog) by name."""
        pids = {name: daemon.pid for name, daemon in self._daemons.items()}
        if self._watchdog is not None:
            pids["watchdog"] = self._watchdog.pid
        return {name: pid for name, pid in pids.items() if pid is not None}

    def call(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """A client command's whole outcome."""
        env = environment() | self.env
        return subprocess.run(
            argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
        )

    def run(self, *argv: str, check: bool = True) -> str:
        """A client command's stdout.

        Raises:
            RuntimeError: it failed (and `check`); shows command, code, stdout and stderr.
        """
        done = self.call(*argv)
        if check and done.returncode != 0:
            raise RuntimeError(
                f"{shlex.join(argv)} ended with code {done.returncode}\n"
                f"stdout: {done.stdout}\nstderr: {done.stderr}"
            )
        return done.stdout

    def start(self) -> None:
        """Boot, and return when all nodes are idle. Once: for another try make another cluster.

        Raises:
            RuntimeError: a program is missing, or a daemon failed: shows the end of its log.
        """
        if self._watchdog is not None:
            raise RuntimeError(f"cluster {self.name} has been started before")
        if missing := missing_programs():
            raise RuntimeError(f"no Slurm can be booted without {', '.join(missing)}")
        try:
            self._configure()
            self._boot()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the jobs and the daemons, by pid and at once; may be called again."""
        for daemon in self._daemons.values():
            daemon.kill()
        try:
            watchdog.sweep(self.name, self._layout.volatile)
        finally:
            for bound in self._reserved:
                bound.close()
            if self._watchdog is not None:
                self._watchdog.dismiss()

    def stop_slurmdbd(self) -> None:
        """From now on sacct fails; the controller keeps what it has to report."""
        self._daemons["slurmdbd"].stop()

    def start_slurmdbd(self) -> None:
        self._start("slurmdbd", self._accounting_answers, "accounting answers")

    def stop_slurmctld(self) -> None:
        """From now on sbatch and squeue fail; jobs go on."""
        self._daemons["slurmctld"].stop()

    def start_slurmctld(self) -> None:
        self._start("slurmctld", self._controller_answers, "the controller answers")

    @contextlib.contextmanager
    def without_accounting(self) -> Iterator[None]:
        """Meanwhile sacct says that there is none, as on a cluster that never had it."""
        self.stop_slurmctld()
        self.stop_slurmdbd()
        usual = self._layout.slurm_conf.read_text()
        kept = [line for line in usual.splitlines() if not line.startswith("AccountingStorage")]
        kept += ["AccountingStorageType=accounting_storage/none", ""]
        self._layout.slurm_conf.write_text("\n".join(kept))
        try:
            self.start_slurmctld()
            yield
        finally:
            self.stop_slurmctld()
            self._layout.slurm_conf.write_text(usual)
            self.start_slurmdbd()
            self.start_slurmctld()

    def allow_jobs(self, count: int) -> None:
        """Raise or lower MaxJobCount, for which the controller has to start anew."""
        usual = self._layout.slurm_conf.read_text()
        kept = [line for line in usual.splitlines() if not line.startswith("MaxJobCount=")]
        self._layout.slurm_conf.write_text("\n".join([*kept, f"MaxJobCount={count}", ""]))
        self.restart_slurmctld()

    def restart_slurmctld(self) -> None:
        self.stop_slurmctld()
        self.start_slurmctld()

    def kill_slurmd(self, node: str, *, with_jobs: bool = True) -> None:
        """A node crashes; without its jobs, it merely loses the network and they run on.

        Slurm notices after SlurmdTimeout, some 10 to 30 seconds.
        """
        self._daemons[node].kill()
        if with_jobs:
            wait_for(lambda: not watchdog.end_jobs(node), 20, f"the jobs of {node} have ended")

    def start_slurmd(self, node: str) -> None:
        """Bring a node back; returns when it takes jobs again."""
        self._start(node, lambda: self._state_is(node, UP), f"{node} is up")

    def __enter__(self) -> "SlurmCluster":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _configure(self) -> None:
        """Write the files, and describe the daemons."""
        layout = self._layout
        env = environment() | self.env | {"MYSQL_UNIX_PORT": str(layout.database_socket)}
        conf.write(layout, conf.Machine.look(env["PATH"]))
        self._daemons = {
            name: Daemon(name, argv, folder=layout.folder, env=env)
            for name, argv in commands(layout).items()
        }

    def _boot(self) -> None:
        """Start each daemon as soon as what it needs answers."""
        layout = self._layout
        log = self.folder / "log" / "watchdog.log"
        self._watchdog = Watchdog(self.name, self._layout.volatile, log)
        if layout.neighbor is None:
            self._start("munged", lambda: accepts(layout.munge_socket), "munge answers")
            install = self._daemons["mariadb-install-db"]
            install.start(self._watchdog)
            if install.wait(BOOT_TIMEOUT_S) != 0:
                raise install.trouble("the database could not be made")
            self._start("mariadbd", lambda: accepts(layout.database_socket), "the database answers")
        if layout.neighbor is None:
            self.start_slurmdbd()
        # Before the controller starts: it reads the associations then, and else only when
        # slurmdbd finds the time to tell it.
        self.run("sacctmgr", "-i", "add", "cluster", self.name)
        self.run("sacctmgr", "-i", "add", "account", ACCOUNT, f"Cluster={self.name}")
        self.run(
            *("sacctmgr", "-i", "add", "user", "root", f"Account={ACCOUNT}"),
            f"Cluster={self.name}",
        )
        self.run("sacctmgr", "-i", "modify", "user", "root", "set", f"DefaultAccount={ACCOUNT}")
        for node in self.node_names:
            self._daemons[node].start(self._watchdog)
        self.start_slurmctld()
        for node in self.node_names:
            idle = functools.partial(self._state_is, node, ("idle",))
            self._daemons[node].await_ready(idle, BOOT_TIMEOUT_S, f"{node} is idle")

    def _start(self, name: str, ready: Callable[[], object], what: str) -> None:
        assert self._watchdog is not None, "the cluster has not been started"
        self._daemons[name].start(self._watchdog)
        self._daemons[name].await_ready(ready, BOOT_TIMEOUT_S, what)

    def _accounting_answers(self) -> bool:
        return self.call("sacctmgr", "-n", "show", "cluster").returncode == 0

    def _controller_answers(self) -> bool:
        return self.call("scontrol", "ping").returncode == 0

    def _state_is(self, node: str, states: Sequence[str]) -> bool:
        """Compares "mixed", "down*", …: the star is for a node that does not respond."""
        return self.run("sinfo", "-h", "-p", "normal", "-n", node, "-o", "%T").strip() in states
