"""Ask `sbatch --test-only` whether Slurm would take a script, and what to do if it would not."""

import os
import re
import tempfile
from pathlib import Path

from hpc.executors.node_jobs import SubmissionTest
from hpc.executors.slurm.checks.sbatch_words import (
    asks_for_account,
    asks_for_qos,
    describe_choices,
    is_unanswered,
    join_words,
    may_await_nodes,
    may_pass,
    remedy_of,
)
from hpc.executors.slurm.client import Slurm
from hpc.executors.slurm.commands import SlurmError
from hpc.run.cluster.resources import Cluster
from pipeline import files
from pipeline.system.ownership import user_name


def try_submission(slurm: Slurm, script: str, cluster: Cluster) -> SubmissionTest:
    """Return whether sbatch would take a script.

    Its array begins in a year, so that nothing happens where a site's wrapper of sbatch does not
    know the option and submits it.

    Args:
        slurm: the cluster.
        script: the text of the batch script.
        cluster: where it goes, for the advice.

    Raises:
        SlurmError: Slurm did not answer.
    """
    with tempfile.TemporaryDirectory(prefix="hpc-check-") as folder:
        path = Path(folder) / "sbatch.sh"
        files.write_text(path, script)
        try:
            slurm.test_submission(path)
        except SlurmError as error:
            if is_unanswered(error):
                raise
            words = error.words
        else:
            return SubmissionTest(is_accepted=True)
    return SubmissionTest(
        is_accepted=False,
        words=join_words(words),
        advice=_advise(slurm, words, cluster),
        is_limit=may_pass(words),
        may_await_nodes=may_await_nodes(words),
    )


def _advise(slurm: Slurm, words: str, cluster: Cluster) -> str:
    """Return what to do, with the names that this user may choose if accounting shows them."""
    advice = remedy_of(words)
    if asks_for_account(words):
        return advice + describe_choices(cluster.resources.account, _mine(slurm, "Account"))
    if asks_for_qos(words):
        return advice + describe_choices(cluster.resources.qos, _mine(slurm, "QOS"))
    return advice


def _mine(slurm: Slurm, column: str) -> list[str]:
    """Return this user's accounts, or QOS; nothing where accounting does not show them."""
    try:
        printed = slurm.accounts("assoc", f"user={user_name(os.getuid())}", f"format={column}")
    except SlurmError:
        return []
    return sorted(set(re.findall(r"[^\s,|]+", printed)))
