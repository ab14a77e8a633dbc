"""A dry run stays readable on 80 columns, and findings say what to do."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.checks.describe_findings import describe_findings, summarize_findings
from hpc.checks.finding import Part, error, ok, warning
from hpc.display.blocks import Line, Table, Tone
from hpc.display.console import plain_text
from hpc.display.dry_run.columns import columns_document, describe_columns
from hpc.display.dry_run.script import describe_script
from hpc.executors.base import ExecutorError
from hpc.executors.slurm.checks.sbatch_words import (
    describe_choices,
    join_words,
    may_pass,
    remedy_of,
)
from hpc.executors.slurm.setup_lines import guard_setup
from hpc.executors.slurm.submitit_executor import NOT_BEFORE_RELEASE
from pipeline.model import Column, ColumnKind


def test_findings_and_their_remedies_are_lines_of_one_table() -> None:
    findings = [ok(Part.KEY, "none is needed"), error(Part.SCRIPT, "refused", "set it")]
    (table,) = describe_findings(findings)
    assert isinstance(table, Table)
    assert table.tones == (Tone.GOOD, Tone.BAD, Tone.PLAIN)
    assert plain_text([table]).splitlines() == [
        "ok     API key  none is needed",
        "error  script   refused",
        "                → set it",
    ]
    assert summarize_findings(findings) == Line("1 error: correct this before you submit", Tone.BAD)
    odd = warning(Part.TIME, "long", "cut")
    assert summarize_findings([odd]) == Line("no errors, 1 warning", Tone.PENDING)
    assert summarize_findings([]).tone is Tone.GOOD


def test_guards_of_setup_lines_are_one_comment() -> None:
    script = "\n".join(["#!/bin/bash", *guard_setup(["module load mamba"]), "srun true"])
    note = "  # (lines of hpc that end the script if a line of cluster.setup fails)"
    assert describe_script(script)[1:] == [
        "  #!/bin/bash", note, "  module load mamba", note, "  srun true",
    ]  # fmt: skip


def test_the_year_that_a_submission_waits_at_first_is_explained() -> None:
    begin = f"#SBATCH --begin={NOT_BEFORE_RELEASE}"
    shown = describe_script(f"#!/bin/bash\n{begin}\nsrun true")[1:]
    assert shown[1] == f"  {begin}"
    assert shown[2].startswith("  # (")
    assert shown[3:] == ["  srun true"]


@given(words=st.lists(st.text("abc", min_size=1, max_size=30), min_size=1, max_size=40))
def test_a_continued_command_means_the_same(words: list[str]) -> None:
    shown = describe_script(f"printf %s, {' '.join(words)}")[1:]
    assert all(len(line) <= 80 for line in shown)
    done = subprocess.run(
        ["bash"], input="\n".join(shown), capture_output=True, text=True, check=True
    )
    assert done.stdout == "".join(f"{word}," for word in words)


def test_columns_fit_on_80_columns_and_no_entry_is_broken() -> None:
    columns = [Column(f"prob_attribute_{n}", ColumnKind.NUMBER) for n in range(20)]
    heading, *lines = describe_columns("test", columns)
    assert heading == f"table labels_test has {len(columns_document(columns))} columns:"
    assert all(len(line) <= 80 for line in lines)
    listed = " ".join(line.strip() for line in lines).split(", ")
    assert "prob_attribute_7 DOUBLE" in listed
    assert len(listed) == len(columns_document(columns))
    assert "once a task has loaded the model" in describe_columns("test", [])[0]


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("sbatch: error: invalid partition specified: x\nallocation failure: Invalid partition "
         "name specified", "cluster.partition"),
        ("allocation failure: Invalid account or account/partition combination specified",
         "cluster.account"),
        ("sbatch: error: Invalid qos specification", "cluster.qos"),
        ("allocation failure: Requested node configuration is not available", "cluster.cpus"),
        ("sbatch: error: Invalid generic resource (gres) specification", "cluster.gres"),
        ("allocation failure: Invalid feature specification", "cluster.constraint"),
        ("allocation failure: Requested reservation is invalid", "cluster.extra"),
        ("allocation failure: Invalid job array specification", "sharding.rows_per_shard"),
        ("allocation failure: Requested time limit is invalid (missing or exceeds some limit)",
         "cluster.time"),
        ("allocation failure: User's group not permitted to use this partition",
         "cluster.partition"),
        ("sbatch: unrecognized option '--nice-try=1'", "cluster.extra"),
        ("sbatch: error: Memory specification can not be satisfied", "cluster.mem_gb"),
    ],
)  # fmt: skip
def test_what_sbatch_refuses_has_a_key_to_change(words: str, key: str) -> None:
    assert key in remedy_of(words)
    assert not join_words(words).startswith(("sbatch", "allocation"))
    assert "\n" not in join_words(words)


@pytest.mark.parametrize(
    ("words", "passes"),
    [
        ("allocation failure: Resource temporarily unavailable", True),
        ("sbatch: error: AssocMaxSubmitJobLimit\nallocation failure: Job violates "
         "accounting/QOS policy (job submit limit, user's size and/or time limits)", True),
        ("allocation failure: Invalid qos specification", False),
    ],
)  # fmt: skip
def test_a_full_queue_refuses_no_script(words: str, passes: bool) -> None:
    assert may_pass(words) is passes


def test_the_nearest_account_is_suggested_among_those_that_one_has() -> None:
    assert describe_choices("kelogg", ["kellogg", "p1"]) == (
        " (did you mean 'kellogg'?); yours: kellogg, p1"
    )
    assert describe_choices(None, ["a"]) == "; yours: a"
    assert describe_choices("a", []) == ""


@pytest.mark.parametrize(
    ("words", "brief"),
    [
        ("slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)",
         "Unable to contact slurm controller (connect failure)"),
        ("scontrol: error: resolve_ctls_from_dns_srv: res_nsearch error: Unknown host\n"
         "scontrol: fatal: Could not establish a configuration source",
         "Could not establish a configuration source"),
        ("no answer in 60 s", "no answer in 60 s"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_noise_of_a_dead_slurm_comes_down_to_one_line(words: str, brief: str) -> None:
    assert ExecutorError("message", words).brief == brief
