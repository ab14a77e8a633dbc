"""List which options of sbatch a configuration must not add (`cluster.extra`), and why. Pure."""

import re
from collections.abc import Iterable

_SHARD_IS_ONE_PROCESS = (
    "not allowed: a shard is one process, and further copies would pay for its posts again "
    "(max_parallel runs more shards at a time, cpus gives a task more CPUs)"
)
_SET_BY_SUBMISSION = "set by the submission"

# Each option that would fight the product's own, by its long name.
RESERVED: dict[str, str] = {
    **dict.fromkeys(
        ("array", "begin", "hold", "job-name", "output", "error", "dependency", "signal",
         "open-mode", "parsable", "wrap"),
        _SET_BY_SUBMISSION,
    ),
    **dict.fromkeys(
        ("nodes", "ntasks", "ntasks-per-node", "ntasks-per-core", "ntasks-per-socket",
         "ntasks-per-gpu", "ntasks-per-tres", "tasks-per-node"),
        _SHARD_IS_ONE_PROCESS,
    ),
    # With a key of its own, a remedy can change it.
    "partition": "has a key of its own: partition",
    "account": "has a key of its own: account",
    "qos": "has a key of its own: qos",
    "constraint": "has a key of its own: constraint",
    "exclude": "has a key of its own: exclude",
    "gres": "has a key of its own: gres",
    "cpus-per-task": "has a key of its own: cpus",
    "time": "has a key of its own: time_min",
    "mem": "has a key of its own: mem_gb",
    "mem-per-cpu": "has a key of its own: mem_per_cpu",
    "mem-per-gpu": "not allowed: the memory of a task is mem_gb or mem_per_cpu",
    "clusters": "has a key of its own: cluster_name",
    "cluster": "has a key of its own: cluster_name",
    "chdir": "not allowed: put `cd FOLDER` into setup",
    "export": "not allowed: a task needs the environment that submits it; put `export NAME=…` "
    "into setup",
    "export-file": "not allowed: put `export NAME=…` into setup",
    "test-only": "not allowed: it submits nothing",
    "wait": "not allowed: submit --wait waits for the run",
}  # fmt: skip

_SHORT = {
    "A": "account", "C": "constraint", "D": "chdir", "H": "hold", "J": "job-name", "M": "clusters",
    "N": "nodes", "W": "wait", "a": "array", "b": "begin", "c": "cpus-per-task", "d": "dependency",
    "e": "error", "n": "ntasks", "o": "output", "p": "partition", "q": "qos", "t": "time",
    "x": "exclude",
}  # fmt: skip


# Anything else, such as `nodes=2`, would bring its own value, or a line of its own in the script.
_NAME = re.compile(r"[A-Za-z]|[A-Za-z][A-Za-z0-9-]+")


def objection(options: Iterable[str]) -> str:
    """Return why the first bad one of some options is rejected; '' if all may be added.

    sbatch takes every unambiguous beginning of a long name for the name, so these are rejected
    too. One-letter names cannot be added at all: the script has them as `--p=short`.
    """
    for name in options:
        option = name.replace("_", "-").lstrip("-")
        if not _NAME.fullmatch(option):
            return f"{name!r} is not the name of an option: give its value after the colon"
        if len(option) > 1 and option != option.lower():
            return f"{name!r} is not an option of sbatch, whose long names are in lower case"
        whole = _SHORT.get(option, option)
        if len(option) == 1 and whole not in RESERVED:
            return f"-{option} is not allowed: give the long name of the option"
        for reserved, why in RESERVED.items():
            if reserved == whole or (len(whole) > 1 and reserved.startswith(whole)):
                shown = f"-{option} (--{reserved})" if len(option) == 1 else f"--{reserved}"
                verb = "" if why.startswith("has ") else "is "
                return f"{shown} {verb}{why}"
    return ""


def names_one_cluster(name: str) -> str:
    """Return why a run cannot go to the cluster of this name; '' if it can.

    Slurm also takes a list, or all clusters, and chooses one for each job.
    """
    if re.fullmatch(r"[\w.-]+", name) and name.lower() != "all":
        return ""
    return (
        f"should name one cluster, not {name!r}: all arrays of a run are in one cluster, so that "
        "each command about the run finds them"
    )
