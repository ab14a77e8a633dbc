"""Prepare the environment of Slurm's commands, and read what the shell says about jobs. Pure.

Slurm's commands read dozens of variables. Sites document `export SQUEUE_PARTITION=…` or
`export SLURM_CLUSTERS=…`, which would filter what the product sees, or send its commands to
different clusters. So every command gets an environment without them, and the few that choose
where a job runs are read once, at submit, and frozen in the run.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from hpc.run.cluster.resources import Cluster, Resources
from hpc.run.cluster.sbatch_options import names_one_cluster
from pipeline.errors import InputError

# Variables of these programs: sbatch, srun, salloc, squeue, sinfo, sacct, scancel, scontrol.
_PREFIXES = (
    *("SLURM_", "SBATCH_", "SRUN_", "SALLOC_", "SQUEUE_", "SINFO_"),
    *("SACCT_", "SCANCEL_", "SCONTROL_", "SACCTMGR_", "SSTAT_"),
)
# How to reach and authenticate with the cluster; nothing works without them where a site uses them.
_NEEDED = frozenset(
    {"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_SACK_KEY", "SLURM_SACK_JWKS"}
)
# What the parsers expect: whole index lists, UTC, ISO times.
_SETTLED = {"SLURM_BITSTR_LEN": "0", "TZ": "UTC", "SLURM_TIME_FORMAT": "standard"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ShellDefaults:
    """Where the user's shell wants jobs to run; None where it does not say."""

    account: str | None = None
    partition: str | None = None
    qos: str | None = None
    clusters: str | None = None

    @property
    def resources(self) -> dict[str, str]:
        """Return those that are keys of a task's resources."""
        keys = {"account": self.account, "partition": self.partition, "qos": self.qos}
        return {key: value for key, value in keys.items() if value is not None}


def query_environment(shell: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of every command that asks or changes something."""
    return {**_without_slurm(shell), **_SETTLED}


def sbatch_environment(shell: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of sbatch, which the tasks inherit: the user's own time zone stays.

    Without the variables that would override the script (SBATCH_ARRAY_INX, …) or, when submitting
    from within a job, pass that job's memory and CPU binding on.
    """
    return _without_slurm(shell)


def shell_defaults(shell: Mapping[str, str]) -> ShellDefaults:
    """Return what the user's shell says about where jobs run.

    sbatch prefers SBATCH_CLUSTERS to SLURM_CLUSTERS, so this does too.
    """
    return ShellDefaults(
        account=shell.get("SBATCH_ACCOUNT") or None,
        partition=shell.get("SBATCH_PARTITION") or None,
        qos=shell.get("SBATCH_QOS") or None,
        clusters=shell.get("SBATCH_CLUSTERS") or shell.get("SLURM_CLUSTERS") or None,
    )


def apply_shell_defaults(
    cluster: Cluster, shell: Mapping[str, str]
) -> tuple[Cluster, tuple[str, ...]]:
    """Return the section with what the shell decides, and a line that says so.

    The configuration wins. As sbatch does, this ignores SLURM_ACCOUNT and SLURM_PARTITION, which
    are for srun.

    Raises:
        InputError: the shell names several clusters, and the configuration none.
    """
    defaults = shell_defaults(shell)
    notes = [
        f"{key} {value} (SBATCH_{key.upper()})"
        for key, value in defaults.resources.items()
        if getattr(cluster.resources, key) is None
    ]
    name = cluster.cluster_name
    if name is None and defaults.clusters:
        variable = "SBATCH_CLUSTERS" if shell.get("SBATCH_CLUSTERS") else "SLURM_CLUSTERS"
        if problem := names_one_cluster(defaults.clusters):
            raise InputError(
                f"{variable} {problem}\n  set cluster.cluster_name in the configuration"
            )
        name = defaults.clusters
        notes.append(f"cluster {name} ({variable})")
    filled = replace(
        cluster,
        resources=_fill_in(cluster.resources, defaults),
        caretaker=_fill_in(cluster.caretaker, defaults),
        cluster_name=name,
    )
    return filled, (f"from your shell: {', '.join(notes)}",) if notes else ()


def _fill_in(resources: Resources, defaults: ShellDefaults) -> Resources:
    missing = {
        key: value for key, value in defaults.resources.items() if getattr(resources, key) is None
    }
    return replace(resources, **missing)


def _without_slurm(shell: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in shell.items()
        if name in _NEEDED or not name.startswith(_PREFIXES)
    }
