"""What the user's shell may change about Slurm's commands: where jobs run, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hpc.executors.slurm.environment import (
    ShellDefaults,
    apply_shell_defaults,
    query_environment,
    sbatch_environment,
    shell_defaults,
)
from hpc.run.cluster.resources import CaretakerResources, ClusterSection, ExecutorName, resolve
from pipeline.errors import InputError

PROGRAMS = ("SLURM", "SBATCH", "SRUN", "SALLOC", "SQUEUE", "SINFO", "SACCT", "SCANCEL", "SCONTROL")
VARIABLES = st.builds("_".join, st.tuples(st.sampled_from(PROGRAMS), st.from_regex("[A-Z_]{1,12}")))
SHELL = {"PATH": "/usr/bin", "HOME": "/home/ana", "SLURM_CONF": "/etc/slurm.conf", "TZ": "America"}


@given(st.dictionaries(VARIABLES.filter(lambda name: name != "SLURM_CONF"), st.text()))
def test_no_variable_of_slurms_programs_reaches_a_command(noise: dict[str, str]) -> None:
    needed = ("SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_SACK_KEY", "SLURM_SACK_JWKS")
    noise = {name: value for name, value in noise.items() if name not in needed}
    assert query_environment({**SHELL, **noise}) == query_environment(SHELL)
    assert sbatch_environment({**SHELL, **noise}) == SHELL


def test_a_query_answers_in_utc_with_whole_index_lists() -> None:
    environment = query_environment(SHELL)
    assert (environment["TZ"], environment["SLURM_BITSTR_LEN"]) == ("UTC", "0")
    assert environment["SLURM_CONF"] == "/etc/slurm.conf"


def test_the_shell_may_choose_account_partition_and_qos() -> None:
    shell = {
        "SBATCH_ACCOUNT": "kellogg",
        "SBATCH_PARTITION": "short",
        "SBATCH_QOS": "",
        "SLURM_CLUSTERS": "serial",
        "SBATCH_CLUSTERS": "inter",
    }
    assert shell_defaults(shell) == ShellDefaults(
        account="kellogg", partition="short", clusters="inter"
    )
    assert shell_defaults({"SLURM_CLUSTERS": "serial"}) == ShellDefaults(clusters="serial")
    assert shell_defaults(SHELL) == ShellDefaults()


NAMES = st.none() | st.from_regex(r"[a-z]{1,8}", fullmatch=True)


@given(configured=st.tuples(NAMES, NAMES, NAMES), exported=st.tuples(NAMES, NAMES, NAMES))
def test_the_shell_decides_only_what_the_configuration_leaves_open(
    configured: tuple[str | None, ...], exported: tuple[str | None, ...]
) -> None:
    """The same as if the shell's values had been configured."""
    keys = ("account", "partition", "qos")
    shell = {f"SBATCH_{key.upper()}": value for key, value in zip(keys, exported, strict=True)}
    own = CaretakerResources(partition="tiny")
    section = ClusterSection(
        executor=ExecutorName.SLURM, caretaker=own, **dict(zip(keys, configured, strict=True))
    )
    merged = [one or other for one, other in zip(configured, exported, strict=True)]
    as_configured = replace(section, **dict(zip(keys, merged, strict=True)))
    exports = {name: value for name, value in shell.items() if value is not None}
    filled, notes = apply_shell_defaults(resolve(section), {**SHELL, **exports})
    assert filled == resolve(as_configured)
    assert bool(notes) == (merged != list(configured))


def test_one_cluster_is_frozen_and_several_are_rejected() -> None:
    cluster = resolve(ClusterSection(executor=ExecutorName.SLURM))
    filled, _ = apply_shell_defaults(cluster, {"SLURM_CLUSTERS": "wice"})
    assert filled.cluster_name == "wice"
    assert apply_shell_defaults(filled, {"SLURM_CLUSTERS": "a,b"}) == (filled, ())
    for several in ("a,b", "all", "ALL", "a, b", " "):
        with pytest.raises(InputError):
            apply_shell_defaults(cluster, {"SBATCH_CLUSTERS": several})
