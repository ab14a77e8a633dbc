"""The configuration of a private Slurm as text: pure, apart from looking at the machine.

Every path, port and name is the cluster's own, so that two clusters and a machine's real Slurm
never meet. Whatever differs between machines (cgroup version, swap) is a field of `Machine`.
"""

import dataclasses
import os
import pathlib
import re
import secrets
import shutil
import socket
import stat
import subprocess


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the configuration has to adapt to."""

    hostname: str
    cgroup_version: int
    has_swap: bool
    slurm_version: tuple[int, int]

    @classmethod
    def look(cls, path: str) -> "Machine":
        """This machine, with its programs on `path`.

        A memory controller mounted as cgroup v1 is not in the v2 tree, whatever else is.
        """
        mounts = pathlib.Path("/proc/mounts").read_text()
        slurmctld = shutil.which("slurmctld", path=path) or "slurmctld"
        version = subprocess.run([slurmctld, "-V"], capture_output=True, text=True, check=True)
        match = re.search(r"(\d+)\.(\d+)", version.stdout)
        return cls(
            hostname=socket.gethostname().split(".")[0],
            cgroup_version=1 if re.search(r" cgroup \S*\bmemory\b", mounts) else 2,
            has_swap=len(pathlib.Path("/proc/swaps").read_text().splitlines()) > 1,
            slurm_version=(int(match[1]), int(match[2])) if match else (0, 0),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where one cluster's files, sockets and ports are, and how big it is."""

    folder: pathlib.Path
    sockets: pathlib.Path  # short: a unix socket's path holds 107 bytes at most
    ctld_port: int
    dbd_port: int
    node_ports: tuple[int, ...]
    cpus: int
    memory_mb: int
    max_array_size: int | None
    preempt_mode: str
    gpus: int
    extra_conf: tuple[str, ...]
    threads_per_core: int = 1
    before_slurmd: tuple[str, ...] = ()
    neighbor: "Layout | None" = None  # whose munge and slurmdbd this cluster shares

    @property
    def name(self) -> str:
        """The cluster's name, unique among the clusters alive on this machine.

        The nodes' names begin with it, because multiple-slurmd names cgroups after the node
        alone (`slurm_<node>/uid_0/job_N`).
        """
        return f"c{self.ctld_port}"

    @property
    def node_names(self) -> tuple[str, ...]:
        return tuple(f"{self.name}n{i}" for i in range(1, len(self.node_ports) + 1))

    @property
    def first_job_id(self) -> int:
        """Ids of two clusters differ too, and stay below Slurm's maximum of 67,043,328."""
        return self.ctld_port * 1000

    @property
    def munge_socket(self) -> pathlib.Path:
        return self.neighbor.munge_socket if self.neighbor else self.sockets / "munge"

    @property
    def database_socket(self) -> pathlib.Path:
        return self.sockets / "mariadb"

    @property
    def slurm_conf(self) -> pathlib.Path:
        return self.folder / "slurm.conf"

    @property
    def gpu_files(self) -> tuple[pathlib.Path, ...]:
        """What Slurm takes for a node's GPUs: it asks for no more than a device's file."""
        return tuple(self.folder / f"gpu{at}" for at in range(self.gpus))

    @property
    def database_init(self) -> pathlib.Path:
        return self.folder / "database.sql"

    @property
    def database_tmp(self) -> pathlib.Path:
        """Its own: a MariaDB that starts removes whatever temporary tables lie in its tmpdir, so
        that in /tmp one takes those of another that is at work."""
        return self.folder / "database-tmp"

    @property
    def munge_key(self) -> pathlib.Path:
        return self.folder / "munge.key"

    @property
    def volatile(self) -> tuple[pathlib.Path, ...]:
        """What is of no use to anybody after the end."""
        folder = self.folder
        return (self.sockets, folder / "database", self.database_tmp, folder / "spool")


def slurm_conf(layout: Layout, machine: Machine) -> str:
    """slurm.conf: everything through one loopback address, quick to schedule and to report."""
    nodes = ",".join(layout.node_names)
    lines: list[str] = [
        f"ClusterName={layout.name}",
        f"SlurmctldHost={machine.hostname}(127.0.0.1)",
        f"SlurmctldPort={layout.ctld_port}",
        "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny",
        "SlurmUser=root",
        "SlurmdUser=root",
        "AuthType=auth/munge",
        "CredType=cred/munge",
        f"AuthInfo=socket={layout.munge_socket}",
        f"StateSaveLocation={layout.folder}/state",
        f"SlurmdSpoolDir={layout.folder}/spool/%n",
        f"SlurmctldPidFile={layout.folder}/slurmctld.pid",
        f"SlurmdPidFile={layout.folder}/slurmd.%n.pid",
        # A slurmstepd has no other place for its words than this; slurmd repeats its own there.
        f"SlurmdLogFile={layout.folder}/log/%n.steps.log",
        "MailProg=/bin/true",
        "MpiDefault=none",
        # What is allocated is enforced, accounted and, at the end, found by cgroup.
        "ProctrackType=proctrack/cgroup",
        "TaskPlugin=task/cgroup",
        "JobAcctGatherType=jobacct_gather/cgroup",
        "JobAcctGatherFrequency=task=2",
        "SelectType=select/cons_tres",
        # A core with several hardware threads is handed out whole, as most sites have it.
        f"SelectTypeParameters={'CR_CPU' if layout.threads_per_core == 1 else 'CR_Core'}_Memory",
        f"DefMemPerCPU={layout.memory_mb // layout.cpus}",
        "SlurmdParameters=config_overrides",
        # Accounting that refuses what a real one refuses. Without AccountingStoragePass the
        # controller tries the system's munge socket, whatever AuthInfo says.
        "AccountingStorageType=accounting_storage/slurmdbd",
        "AccountingStorageHost=127.0.0.1",
        f"AccountingStoragePort={layout.dbd_port}",
        f"AccountingStoragePass={layout.munge_socket}",
        "AccountingStorageEnforce=associations,limits,qos",
        # Slurm's patience is for a data centre; a test's is seconds.
        "SchedulerType=sched/backfill",
        "SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2",
        "KillWait=5",
        "MinJobAge=300",
        "SlurmdTimeout=10",
        "ReturnToService=2",
        "JobRequeue=1",
        "PreemptType=preempt/partition_prio",
        "PreemptMode=REQUEUE",
        f"FirstJobId={layout.first_job_id}",
    ]
    if layout.max_array_size is not None:
        lines.append(f"MaxArraySize={layout.max_array_size}")
    gres = f" Gres=gpu:{layout.gpus}" if layout.gpus else ""
    if gres:
        lines.append("GresTypes=gpu")
    threads = ""
    if layout.threads_per_core > 1:
        cores = layout.cpus // layout.threads_per_core
        threads = f" Sockets=1 CoresPerSocket={cores} ThreadsPerCore={layout.threads_per_core}"
    lines += [
        f"NodeName={name} NodeHostname={machine.hostname} NodeAddr=127.0.0.1 Port={port}"
        f" CPUs={layout.cpus}{threads} RealMemory={layout.memory_mb}{gres} State=UNKNOWN"
        for name, port in zip(layout.node_names, layout.node_ports, strict=True)
    ]
    lines += [
        f"PartitionName=normal Nodes={nodes} Default=YES MaxTime=48:00:00 PriorityTier=1"
        f" PreemptMode={layout.preempt_mode}",
        f"PartitionName=requeued Nodes={nodes} MaxTime=48:00:00 PriorityTier=1 PreemptMode=REQUEUE",
        f"PartitionName=short Nodes={nodes} MaxTime=04:00:00 PriorityTier=1 PreemptMode=OFF",
        f"PartitionName=high Nodes={nodes} MaxTime=48:00:00 PriorityTier=10 PreemptMode=OFF",
    ]
    return "\n".join([*lines, *layout.extra_conf]) + "\n"


def slurmdbd_conf(layout: Layout) -> str:
    """slurmdbd.conf: its database is MariaDB.

    StorageHost=localhost means the unix socket that MYSQL_UNIX_PORT names: the database has no
    port, and needs no password behind a folder that only root may enter.
    """
    return "\n".join(
        [
            "AuthType=auth/munge",
            f"AuthInfo=socket={layout.munge_socket}",
            "DbdHost=localhost",
            "DbdAddr=127.0.0.1",
            f"DbdPort={layout.dbd_port}",
            "SlurmUser=root",
            f"PidFile={layout.folder}/slurmdbd.pid",
            "StorageType=accounting_storage/mysql",
            "StorageHost=localhost",
            "StorageUser=root",
            "StorageLoc=slurm",
            # What slurm.conf hides from other users, accounting hides as well.
            *(line for line in layout.extra_conf if line.startswith("PrivateData=")),
            "",
        ]
    )


def database_init() -> str:
    """What MariaDB does whenever it starts.

    slurmdbd would make its database itself: it connects to it, is told that there is none, and
    goes on with the same connection, whose limit of columns libmariadb 11.8.9 has set to 0 by
    then. Every query fails: "Number of columns in result (=1) set execeeds maxmimum allowed".
    """
    return "CREATE DATABASE IF NOT EXISTS slurm;\n"


def cgroup_conf(machine: Machine) -> str:
    """cgroup.conf: a task over its memory is killed, and without systemd's help."""
    lines = [f"CgroupPlugin=cgroup/v{machine.cgroup_version}", "ConstrainRAMSpace=yes"]
    if machine.has_swap:  # else the surplus is swapped out and nothing is ever out of memory
        lines.append("ConstrainSwapSpace=yes")
    if machine.cgroup_version == 2:
        enable = "CgroupAutomount" if machine.slurm_version < (23, 2) else "EnableControllers"
        lines += ["IgnoreSystemd=yes", f"{enable}=yes"]
    return "\n".join([*lines, ""])


def gres_conf(layout: Layout) -> str:
    """gres.conf: without it, no task would be told which GPU is its own."""
    return "".join(f"Name=gpu File={path}\n" for path in layout.gpu_files)


def write(layout: Layout, machine: Machine) -> None:
    """Make the cluster's folder."""
    for name in ("log", "state", "spool", layout.database_tmp.name):
        (layout.folder / name).mkdir(parents=True, exist_ok=True)
    for node in layout.node_names:
        (layout.folder / "spool" / node).mkdir(exist_ok=True)
    files = {
        layout.slurm_conf: slurm_conf(layout, machine).encode(),
        layout.folder / "slurmdbd.conf": slurmdbd_conf(layout).encode(),
        layout.folder / "cgroup.conf": cgroup_conf(machine).encode(),
        layout.database_init: database_init().encode(),
        layout.munge_key: secrets.token_bytes(128),
    }
    if layout.gpus:
        for device in layout.gpu_files:
            os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(1, 3))  # as /dev/null
        files[layout.folder / "gres.conf"] = gres_conf(layout).encode()
    for path, content in files.items():
        path.touch(mode=0o600)  # slurmdbd and munged refuse a file that others may read
        path.write_bytes(content)
