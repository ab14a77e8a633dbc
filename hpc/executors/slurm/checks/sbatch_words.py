"""Explain what sbatch's error messages mean, and what to do about them. Pure."""

import re
from collections.abc import Sequence

from hpc.executors.slurm.commands import SlurmError
from hpc.executors.slurm.limits.submit_limits import is_submit_limit, may_be_submit_limit
from pipeline.text import did_you_mean

_PREFIX = re.compile(
    r"^(?:(?:sbatch|scontrol|sinfo|squeue|sacct|sacctmgr): )?(?:error: |fatal: )?"
    r"(?:allocation failure: |Batch job submission failed: )?",
    re.IGNORECASE,
)
_UNANSWERED = re.compile(
    r"unable to contact slurm controller|socket timed out|configuration source|"
    r"(?:receive|send|connect(?:ion)?|shutdown) failure|connection refused|there is no \w+ here|"
    r"protocol authentication error|zero bytes were",
    re.IGNORECASE,
)
_MOST_NAMES = 12

# The first pattern that matches the words. A site's own names differ, so no figures here.
_REMEDIES = (
    (
        r"group not permitted|not permitted to use this partition|account.*partition.*not allowed",
        "this partition is closed to you: set cluster.partition to another one (sinfo)",
    ),
    (r"partition name|invalid partition", "set cluster.partition to one that exists (sinfo)"),
    (r"account", "set cluster.account to an account that you may charge"),
    (r"\bqos\b", "set cluster.qos to a QOS that your account may use"),
    (r"time limit|timelimit|DeadLine", "lower cluster.time (sinfo -o '%P %l' shows the limits)"),
    (r"job array|array spec", "raise sharding.rows_per_shard, so that there are fewer shards"),
    (
        r"gres|generic resource|\bgpu",
        "set cluster.gres to what the partition's nodes have (sinfo -o '%P %G')",
    ),
    (r"feature|constraint", "set cluster.constraint to what nodes have (sinfo -o '%P %f')"),
    (r"reservation", "correct the reservation in cluster.extra (scontrol show reservation)"),
    (r"memory", "lower cluster.mem_gb (sinfo -o '%P %m' shows the memory of the nodes)"),
    (
        r"node configuration|more processors|cpu count|nodes are not available|node count",
        "no node of the partition has all of that: lower cluster.cpus or cluster.mem_gb, or "
        "change cluster.gres, cluster.constraint or cluster.exclude (sinfo -o '%P %c %m %G %f')",
    ),
    (r"node name", "correct the names in cluster.exclude and cluster.extra (sinfo -N)"),
    (r"license", "correct the licenses in cluster.extra (scontrol show license)"),
    (r"dependency", "name a job that Slurm still knows (squeue --me)"),
    (r"unrecognized option|invalid option", "remove the option from cluster.extra"),
)


def join_words(words: str) -> str:
    """Return what Slurm's commands said, each thing once, on one line and without their names."""
    said = (_PREFIX.sub("", line.strip()) for line in words.splitlines())
    return "; ".join(dict.fromkeys(filter(None, said)))


def is_unanswered(error: SlurmError) -> bool:
    """Tell whether nobody decided: Slurm is not here, does not answer, or is not reached."""
    return error.timed_out or _UNANSWERED.search(error.words) is not None


def may_pass(words: str) -> bool:
    """Tell whether sbatch refuses now what it may take later, because too much is submitted.

    At MaxJobCount, `sbatch --test-only` has only the words of the system's EAGAIN.
    """
    is_full = re.search(r"temporarily|try again", words, re.IGNORECASE) is not None
    return is_full or is_submit_limit(words) or may_be_submit_limit(words)


def may_await_nodes(words: str) -> bool:
    """Tell whether sbatch itself would take the script, and let its tasks wait for nodes.

    `sbatch --test-only` plans the start of the job on the nodes that are up at this moment. With
    the same words it refuses what no node has, and what a drained node has. Only sbatch itself
    tells these two apart.
    """
    pattern = r"node configuration|nodes are not available"
    return re.search(pattern, words, re.IGNORECASE) is not None


def remedy_of(words: str) -> str:
    """Return what a person can do about a rejection; '' if nothing is known."""
    return next(
        (text for pattern, text in _REMEDIES if re.search(pattern, words, re.IGNORECASE)), ""
    )


def asks_for_account(words: str) -> bool:
    """Tell whether the account is what was rejected, and not only its use of a partition."""
    return re.search(r"invalid account", words, re.IGNORECASE) is not None


def asks_for_qos(words: str) -> bool:
    """Tell whether the QOS is what was rejected."""
    return re.search(r"invalid qos", words, re.IGNORECASE) is not None


def describe_choices(given: str | None, names: Sequence[str]) -> str:
    """Return the names that a person may choose from, to append to advice; '' without any."""
    if not names:
        return ""
    shown = ", ".join(names[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "")
    return f"{did_you_mean(given, names) if given else ''}; yours: {shown}"
