"""The programs of a cluster: which there are, and how each is started in the foreground."""

import os
import shutil

from tests.slurm.private_cluster.conf import Layout

PROGRAMS = (
    *("munged", "munge", "mariadbd", "mariadb-install-db"),
    *("slurmdbd", "slurmctld", "slurmd"),
    *("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "sacct", "sacctmgr"),
)
# A user's own settings (SBATCH_PARTITION, SQUEUE_FORMAT, …) would change what the clients say.
CLIENT_PREFIXES = ("SLURM", "SBATCH", "SRUN", "SALLOC", "SQUEUE", "SINFO", "SACCT", "SCANCEL")


def environment() -> dict[str, str]:
    """Ours without Slurm's settings; daemons are where a user's PATH seldom leads."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(CLIENT_PREFIXES)}
    env["PATH"] = os.pathsep.join([env.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    return env


def missing_programs() -> list[str]:
    """The programs a cluster needs and this machine has not; starts nothing."""
    path = environment()["PATH"]
    return [program for program in PROGRAMS if shutil.which(program, path=path) is None]


def commands(layout: Layout) -> dict[str, list[str]]:
    """A cluster's daemons (and the database's installation) by name, a slurmd by its node's."""
    slurmds = {
        node: [*layout.before_slurmd, "slurmd", "-D", "-N", node] for node in layout.node_names
    }
    accounting = {
        "munged": _munged(layout),
        "mariadb-install-db": _mariadb_install(layout),
        "mariadbd": _mariadbd(layout),
        "slurmdbd": ["slurmdbd", "-D"],
    }
    own = accounting if layout.neighbor is None else {}
    return {**own, "slurmctld": ["slurmctld", "-D"], **slurmds}


def _munged(layout: Layout) -> list[str]:
    """The command for munged; --force: it runs as root, below /tmp."""
    return [
        *("munged", "-F", "--force", f"--socket={layout.munge_socket}"),
        *(f"--key-file={layout.munge_key}", f"--seed-file={layout.folder}/munged.seed"),
        *(f"--pid-file={layout.folder}/munged.pid", f"--log-file={layout.folder}/log/munged.log"),
    ]


def _mariadb_install(layout: Layout) -> list[str]:
    """The command that makes an empty database, in less than a second."""
    return [
        *("mariadb-install-db", "--no-defaults", "--user=root", "--skip-test-db"),
        *("--auth-root-authentication-method=normal", f"--datadir={layout.folder}/database"),
        *("--innodb-log-file-size=8M", f"--tmpdir={layout.database_tmp}"),
    ]


def _mariadbd(layout: Layout) -> list[str]:
    """The command for a database that no port leads to, and that need not survive a crash."""
    return [
        *("mariadbd", "--no-defaults", "--user=root", f"--datadir={layout.folder}/database"),
        *("--skip-networking", f"--socket={layout.database_socket}"),
        *(f"--pid-file={layout.folder}/mariadbd.pid", "--innodb-log-file-size=8M"),
        *("--innodb-flush-log-at-trx-commit=0", "--innodb-lock-wait-timeout=900"),
        *("--performance-schema=OFF", f"--init-file={layout.database_init}"),
        f"--tmpdir={layout.database_tmp}",
    ]
