"""Ask Slurm what a user can choose on a cluster."""

import os
import re

from hpc.executors.slurm.answers.controller_settings import parse_config
from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.commands import SlurmError
from hpc.executors.slurm.survey.facts import (
    ASSOCIATIONS_FORMAT,
    NODES_FORMAT,
    AssociationFacts,
    ClusterSurvey,
    PartitionFacts,
    parse_associations,
    parse_nodes,
    parse_shown_partitions,
)
from pipeline.system.ownership import user_name

# A person waits for the answers. A controller that is down is asked once only.
_PATIENCE_S = 10.0


def survey_cluster(cluster_name: str | None = None) -> ClusterSurvey:
    """Return what Slurm says, and why it does not say the rest. Nothing is raised.

    Args:
        cluster_name: the cluster to ask; None for that of this machine.
    """
    slurm = Slurm(_PATIENCE_S, cluster_name=cluster_name)
    associations, default_account, accounting_problem = _ask_accounting(slurm)
    try:
        config = parse_config(slurm.show("config"))
    except SlurmError as error:
        return ClusterSurvey(
            name=cluster_name or "",
            associations=associations,
            default_account=default_account,
            problem=_first_line(error),
            accounting_problem=accounting_problem,
        )
    enforced = set(config.get("AccountingStorageEnforce", "").split(","))
    partitions, problem = _ask_partitions(slurm)
    return ClusterSurvey(
        name=cluster_name or config.get("ClusterName", ""),
        partitions=partitions,
        associations=associations,
        default_account=default_account,
        needs_account=bool(enforced & {"associations", "limits", "qos", "safe", "wckeys"}),
        checks_qos="qos" in enforced,
        problem=problem,
        accounting_problem=accounting_problem,
    )


def _ask_partitions(slurm: Slurm) -> tuple[tuple[PartitionFacts, ...], str]:
    try:
        nodes = slurm.shown_nodes(NODES_FORMAT)
    except SlurmError as error:
        return (), _first_line(error)
    try:
        shown = parse_shown_partitions(slurm.show("partition", "--oneliner"))
    except SlurmError:  # who may use them is then for sbatch to say
        shown = {}
    return parse_nodes(nodes, shown), ""


def _ask_accounting(slurm: Slurm) -> tuple[tuple[AssociationFacts, ...], str, str]:
    user = user_name(os.getuid())
    try:
        rows = slurm.accounts("assoc", f"user={user}", ASSOCIATIONS_FORMAT)
        default = slurm.accounts("user", f"name={user}", "format=DefaultAccount")
    except SlurmError as error:
        return (), "", _first_line(error)
    return parse_associations(rows), default.strip().partition("\n")[0], ""


def _first_line(error: SlurmError) -> str:
    """Return the beginning of what a command said, without its name."""
    line = error.words.strip().partition("\n")[0]
    return re.sub(r"^\w+: (?:error|fatal): ", "", line).rstrip(".")
