"""Count how many jobs Slurm lets a user submit, and how many count against each limit now.

Which limits hold is decided by `acct_policy_validate` of slurmctld (the same in 22.05 to 25.11):
those of the partition's QOS, then those of the job's QOS where the former has none, then those of
the association and its parents where neither has any. Array tasks count one by one, from sbatch to
their end. MaxJobCount holds for everybody's jobs together, and for some minutes after their end.
Pure.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hpc.executors.slurm.answers.reasons import OUTLOOK
from hpc.executors.slurm.answers.states import meaning
from hpc.run.array_indices import parse_task_id
from hpc.run.model.arrays import SubmitLimit
from hpc.run.model.attempts import Phase

# What slurmctld takes if neither the job nor its association names a QOS.
DEFAULT_QOS = "normal"


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """Whose jobs they are, and where they go; None leaves it to Slurm's default."""

    user: str
    uid: int
    account: str | None
    partition: str | None
    qos: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Association:
    """A user in an account, or an account, as the controller has it."""

    account: str
    user: str
    """Empty for the association of the account itself."""
    partition: str
    parent: str = ""
    """The account above this one; empty for a user, and for the topmost account."""
    is_default: bool = False
    group_limit: int | None = None
    """GrpSubmitJobs: of all users below together."""
    limit: int | None = None
    """MaxSubmitJobs: of this user in this account."""
    submitted: int = 0
    """How many jobs count against both."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QosUsage:
    """How many jobs of one QOS are submitted."""

    submitted: int = 0
    by_account: Mapping[str, int] = field(default_factory=dict)
    by_user: Mapping[int, int] = field(default_factory=dict)
    """By the user's id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What counts against the limits of accounting, as the controller has it."""

    associations: tuple[Association, ...] = ()
    qos: Mapping[str, QosUsage] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Qos:
    """The limits of one QOS on submitted jobs; None where it has none."""

    per_user: int | None
    per_account: int | None
    group: int | None
    overrides_partition: bool
    """Whether its limits come before those of the partition's QOS."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedJobs:
    """How many jobs squeue shows, array tasks counted one by one."""

    all: int
    """Everybody's, with those that have just ended."""
    own: int
    """The user's own that have not ended."""


def limits_in_force(
    owner: Owner, own: Association, usage: Usage, qos: Mapping[str, Qos]
) -> Iterator[SubmitLimit]:
    """Yield the limits of accounting that a submission has to keep.

    Args:
        owner: who submits.
        own: the owner's association.
        usage: what is submitted now.
        qos: the QOS of the partition and of the job, in the order in which they count.
    """
    counts = {name: usage.qos.get(name, QosUsage()) for name in qos}
    group = next((name for name in qos if qos[name].group is not None), None)
    by_account = next((name for name in qos if qos[name].per_account is not None), None)
    by_user = next((name for name in qos if qos[name].per_user is not None), None)
    found: list[tuple[str, int | None, int]] = []
    if group:
        found.append((f"GrpSubmitJobs of QOS {group}", qos[group].group, counts[group].submitted))
    else:
        found += [
            (f"GrpSubmitJobs of account {each.account}", each.group_limit, each.submitted)
            for each in _with_parents(own, usage.associations)
        ]
    if by_account:
        used = counts[by_account].by_account.get(own.account, 0)
        limit = qos[by_account].per_account
        found.append((f"MaxSubmitJobsPerAccount of QOS {by_account}", limit, used))
    if by_user:
        used = counts[by_user].by_user.get(owner.uid, 0)
        found.append((f"MaxSubmitJobsPerUser of QOS {by_user}", qos[by_user].per_user, used))
    if not by_account and not by_user:
        where = f"user {owner.user} in account {own.account}"
        found.append((f"MaxSubmitJobs of {where}", own.limit, own.submitted))
    for name, most, used in found:
        if most is not None:
            yield SubmitLimit(name=name, most=most, used=used)


def find_association(associations: tuple[Association, ...], owner: Owner) -> Association | None:
    """Return the association that a job of the owner uses; None if there is none, or it is hidden.

    One of the partition comes before one of all partitions.
    """
    mine = [each for each in associations if each.user == owner.user]
    if owner.account is None:
        mine = [each for each in mine if each.is_default]
    else:
        mine = [each for each in mine if each.account == owner.account.lower()]
    for partition in (owner.partition, ""):
        for each in mine:
            if each.partition == partition:
                return each
    return None


def _with_parents(own: Association, associations: tuple[Association, ...]) -> Iterator[Association]:
    accounts = {each.account: each for each in associations if not each.user}
    yield own
    above = accounts.get(own.account)
    while above is not None:
        yield above
        above = accounts.get(above.parent)


def count_jobs(printed: str, uid: int) -> QueuedJobs:
    """Count the tasks in `squeue -h -a -t all -o COUNT_FORMAT`."""
    everybody = own = 0
    for line in printed.splitlines():
        identity, _, rest = line.partition("|")
        user, _, state = rest.partition("|")
        task = parse_task_id(identity)
        if task is None:
            continue
        tasks = 1 if task.indices is None else len(task.indices)
        everybody += tasks
        if user == str(uid) and meaning(state)[0] is not Phase.ENDED:
            own += tasks
    return QueuedJobs(all=everybody, own=own)


def parse_usage(printed: str) -> Usage:
    """Return what `scontrol show assoc_mgr flags=assoc,qos` says about submitted jobs."""
    associations, _, qos = printed.partition("\nQOS Records")
    return Usage(
        associations=tuple(
            _association(block)
            for block in re.split(r"^(?=ClusterName=)", associations, flags=re.MULTILINE)
            if block.startswith("ClusterName=")
        ),
        qos={
            block[len("QOS=") :].partition("(")[0]: _qos_usage(block)
            for block in re.split(r"^(?=QOS=)", qos, flags=re.MULTILINE)
            if block.startswith("QOS=")
        },
    )


def _association(block: str) -> Association:
    group_limit, submitted = _limit_and_count("GrpSubmitJobs", block)
    limit, _ = _limit_and_count("MaxSubmitJobs", block)
    return Association(
        account=_word("Account", block).lower(),
        user=_word("UserName", block).partition("(")[0],
        partition=_word("Partition", block),
        parent=_word("ParentAccount", block).partition("(")[0].lower(),
        is_default=_word("DefAssoc", block) == "Yes",
        group_limit=group_limit,
        limit=limit,
        submitted=submitted,
    )


def _qos_usage(block: str) -> QosUsage:
    whole, _, per_owner = block.partition("Account Limits")
    accounts, _, users = per_owner.partition("User Limits")
    return QosUsage(
        submitted=_limit_and_count("GrpSubmitJobs", whole)[1],
        by_account={name.lower(): count for name, count in _counts(accounts, "MaxSubmitJobsPA")},
        by_user={_uid(name): count for name, count in _counts(users, "MaxSubmitJobsPU")},
    )


def _counts(section: str, key: str) -> list[tuple[str, int]]:
    """Return who has how many jobs: a line with the name, then deeper ones with the figures."""
    found = re.findall(rf"^ +(\S+)\n.*{key}=\w*\((\d+)\)", section, re.MULTILINE)
    return [(name, int(count)) for name, count in found]


def _uid(name: str) -> int:
    """Return the id in `1001`, or in `kim(1001)` since Slurm 23.11; -1 without any."""
    digits = re.search(r"(\d+)\)?$", name)
    return int(digits[1]) if digits else -1


def _limit_and_count(key: str, block: str) -> tuple[int | None, int]:
    """Return 10 and 3 for `10(3)`, None and 3 for `N(3)`, None and 0 without figures."""
    match = re.search(rf"\b{key}=(\d+|N)\((\d+)\)", block)
    if not match:
        return None, 0
    return None if match[1] == "N" else int(match[1]), int(match[2])


def _word(key: str, block: str) -> str:
    match = re.search(rf"\b{key}=(\S*)", block)
    return match[1] if match else ""


def parse_qos(printed: str) -> dict[str, Qos]:
    """Return the rows of `sacctmgr show qos`: name, the three limits, flags."""
    rows = (line.split("|") for line in printed.splitlines())
    return {
        row[0]: Qos(
            per_user=_number(row[1]),
            per_account=_number(row[2]),
            group=_number(row[3]),
            overrides_partition="overpartqos" in row[4].lower(),
        )
        for row in rows
        if len(row) == 5
    }


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def parse_default_qos(printed: str, partition: str) -> str:
    """Return the QOS of a job that names none, from `sacctmgr show assoc` of one account.

    Args:
        printed: a row for each association: its partition, its default QOS, all its QOS.
        partition: that of the association.
    """
    rows = (line.split("|") for line in printed.splitlines())
    for row in rows:
        if len(row) == 3 and row[0] == partition:
            return row[1] or (row[2] if row[2] and "," not in row[2] else DEFAULT_QOS)
    return DEFAULT_QOS


def parse_partition_qos(printed: str, partition: str | None) -> str:
    """Return the QOS that a partition adds to its jobs, from `scontrol --oneliner show partition`.

    Args:
        printed: a line for each partition.
        partition: a name; None for the default partition. A list of names has no QOS of its own.
    """
    for line in printed.splitlines():
        is_it = (
            _word("Default", line) == "YES"
            if partition is None
            else (_word("PartitionName", line) == partition)
        )
        if is_it:
            qos = _word("QoS", line)
            return "" if qos == "N/A" else qos
    return ""


def is_submit_limit(words: str) -> bool:
    """Tell whether sbatch's words say that too many jobs are submitted, which passes by itself.

    Slurm names the limit in a line before its general sentence. At MaxJobCount, sbatch says that it
    will try again, for minutes.
    """
    return "SubmitJob" in words or is_retrying(words)


def may_be_submit_limit(words: str) -> bool:
    """Tell whether sbatch's words leave open which limit of accounting is exceeded."""
    names_another = any(name in OUTLOOK for name in re.findall(r"\w+", words))
    return "violates accounting/QOS policy" in words and not names_another


def is_retrying(words: str) -> bool:
    """Tell whether sbatch's words say that it waits until Slurm takes jobs again."""
    return re.search(r"sleeping and retrying|temporarily disabled, retrying", words) is not None
