"""What the user's shell may change about Slurm's commands: where jobs run, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from hpc.executors.slurm.environment import (
    ShellDefaults,
    query_environment,
    sbatch_environment,
    shell_defaults,
)

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
