"""Parse what a user can choose on a cluster from what Slurm's commands print. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hpc.run.cluster.slurm_time import parse_slurm_time

NODES_FORMAT = "%P|%a|%l|%m|%c|%t|%N|%G"
ASSOCIATIONS_FORMAT = "format=Cluster,Account,Partition,QOS,DefaultQOS"
_EVERYBODY = "ALL"
# States of nodes that start no job, in sinfo's short form. A suffix such as * or # says more.
_OUT_OF_SERVICE = ("down", "drain", "drng", "fail", "maint", "unk", "inval", "boot", "futr")


@dataclass(frozen=True, kw_only=True, slots=True)
class PartitionFacts:
    """A partition, and the largest node in it."""

    name: str
    is_default: bool = False
    is_up: bool = True
    is_hidden: bool = False
    """Whether the site shows it only to those who ask for hidden partitions."""
    time_min: int | None = None
    """The longest time limit of a job, in minutes; None for no limit."""
    nodes: int = 0
    """How many nodes can start jobs, now or once they are free."""
    memory_mb: float = 0.0
    """Of the node with the most memory; 0 if it is not known."""
    cpus: int = 0
    """Of the node with the most CPUs; 0 if they are not known."""
    gpus: tuple[str, ...] = ()
    """The kinds of GPUs as `--gres` takes them, such as `gpu:h100`."""
    accounts: frozenset[str] | None = None
    """The accounts that may use it; None for all but `denied_accounts`."""
    denied_accounts: frozenset[str] = frozenset()
    qos: frozenset[str] | None = None
    """The QOS that may use it; None for all."""

    def admits(self, account: str | None) -> bool:
        """Report whether jobs of an account may run there, as far as is known."""
        if account is None:
            return True
        folded = account.lower()
        is_listed = self.accounts is None or folded in self.accounts
        return is_listed and folded not in self.denied_accounts


@dataclass(frozen=True, kw_only=True, slots=True)
class AssociationFacts:
    """An account that a user may charge, perhaps in one partition only."""

    cluster: str
    account: str
    partition: str = ""
    """Empty for all partitions."""
    qos: tuple[str, ...] = ()
    default_qos: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterSurvey:
    """What a user can choose on a cluster."""

    name: str = ""
    """The cluster's name; '' if it is not known."""
    partitions: tuple[PartitionFacts, ...] = ()
    associations: tuple[AssociationFacts, ...] = ()
    """Those of the user, on all clusters of the site."""
    default_account: str = ""
    needs_account: bool = False
    """Whether Slurm rejects jobs of users without an account (AccountingStorageEnforce)."""
    checks_qos: bool = False
    """Whether Slurm rejects a QOS that the user may not use."""
    problem: str = ""
    """Why Slurm says nothing about partitions; '' if it does."""
    accounting_problem: str = ""
    """Why Slurm says nothing about accounts; '' if it does."""

    @property
    def clusters(self) -> tuple[str, ...]:
        """Return the clusters that the user may use, by name."""
        return tuple(sorted({each.cluster for each in self.associations}))

    def accounts(self) -> tuple[str, ...]:
        """Return the accounts that the user may charge on this cluster, by name."""
        return tuple(sorted({each.account for each in self._own()}))

    def qos_of(self, account: str | None, partition: str | None) -> AssociationFacts | None:
        """Return the association that a job in an account and a partition uses, if it is known."""
        own = [each for each in self._own() if account in (None, each.account)]
        fitting = [each for each in own if each.partition == partition]
        return next(iter(fitting or [each for each in own if not each.partition]), None)

    def partitions_of(self, account: str | None) -> frozenset[str] | None:
        """Return the only partitions that an account's associations name; None for all."""
        own = [each.partition for each in self._own() if account in (None, each.account)]
        return frozenset(own) if own and all(own) else None

    def _own(self) -> list[AssociationFacts]:
        return [each for each in self.associations if each.cluster in ("", self.name)]


def parse_nodes(printed: str, shown: Mapping[str, Mapping[str, str]]) -> tuple[PartitionFacts, ...]:
    """Return the partitions in sinfo's order.

    Args:
        printed: by `sinfo -N -h -a -o NODES_FORMAT`: a line for each node of each partition.
        shown: the fields of `scontrol show partition` by partition; empty if it did not answer.
    """
    lines: dict[str, list[list[str]]] = {}
    for line in printed.splitlines():
        fields = line.split("|", 7)
        if len(fields) == 8:
            lines.setdefault(fields[0], []).append(fields)
    return tuple(_partition(name, rows, shown) for name, rows in lines.items())


def _partition(
    marked: str, rows: list[list[str]], shown: Mapping[str, Mapping[str, str]]
) -> PartitionFacts:
    name = marked.rstrip("*")
    fields = shown.get(name, {})
    usable = [row for row in rows if not row[5].startswith(_OUT_OF_SERVICE)]
    known = usable or rows
    return PartitionFacts(
        name=name,
        is_default=marked.endswith("*"),
        is_up=rows[0][1] == "up",
        is_hidden=fields.get("Hidden") == "YES",
        time_min=_minutes(rows[0][2]),
        nodes=len({row[6] for row in usable}),
        memory_mb=max(_number(row[3]) for row in known),
        cpus=int(max(_number(row[4]) for row in known)),
        gpus=tuple(dict.fromkeys(gpu for row in known for gpu in _gpus(row[7]))),
        accounts=_names(fields.get("AllowAccounts", _EVERYBODY)),
        denied_accounts=_names(fields.get("DenyAccounts", "")) or frozenset(),
        qos=_names(fields.get("AllowQos", _EVERYBODY)),
    )


def parse_shown_partitions(printed: str) -> dict[str, dict[str, str]]:
    """Return the fields of each partition, from `scontrol --oneliner show partition`."""
    found: dict[str, dict[str, str]] = {}
    for line in printed.splitlines():
        fields = dict(re.findall(r"(\w+)=(\S*)", line))
        if name := fields.get("PartitionName"):
            found[name] = fields
    return found


def parse_associations(printed: str) -> tuple[AssociationFacts, ...]:
    """Return a user's associations, from `sacctmgr show assoc … ASSOCIATIONS_FORMAT`."""
    rows = (line.split("|") for line in printed.splitlines())
    return tuple(
        AssociationFacts(
            cluster=row[0],
            account=row[1],
            partition=row[2],
            qos=tuple(filter(None, row[3].split(","))),
            default_qos=row[4],
        )
        for row in rows
        if len(row) == 5 and row[1]
    )


def _gpus(gres: str) -> list[str]:
    """Return the kinds in a node's generic resources: `gpu:h100:4(S:0-1)` has `gpu:h100`."""
    kinds = re.findall(r"(?:^|,)gpu(?::([A-Za-z_][\w.-]*))?", gres)
    return [f"gpu:{kind}" if kind else "gpu" for kind in kinds]


def _names(listed: str) -> frozenset[str] | None:
    """Return the names of a list in lower case; None for ALL, which has none."""
    if listed.upper() == _EVERYBODY:
        return None
    return frozenset(name.lower() for name in listed.split(",") if name and name != "(null)")


def _number(text: str) -> float:
    match = re.match(r"\d+(\.\d+)?", text)
    return float(match[0]) if match else 0.0


def _minutes(limit: str) -> int | None:
    try:
        return parse_slurm_time(limit)
    except ValueError:  # infinite
        return None
