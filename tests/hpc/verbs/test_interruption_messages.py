"""What Ctrl-C says at each stage of a verb: what goes on, and the command that continues."""

import importlib
import re
from pathlib import Path

import pytest

from hpc.command_line.cli import VERBS
from hpc.display.interruption import (
    explain_canary_interruption,
    explain_interruption,
    explain_submission_interruption,
    on_interruption_say,
)
from hpc.display.next_step import command
from pipeline.errors import Interruption
from tests.hpc.adoption.engine import EXTERNAL
from tests.hpc.cli_bench import Bench, outcome, valence_run

# Ctrl-C at the first call of a function.
INTERRUPTED = """
import importlib, sys
from hpc.command_line import cli
module, function, verb, *words = sys.argv[1:]
def interrupt(*_, **__):
    raise KeyboardInterrupt
setattr(importlib.import_module(module), function, interrupt)
cli.main(importlib.import_module(f"hpc.{verb}").VERB, words)
"""
CONFIG = ("--config", "run.yaml")


def test_every_verb_says_what_ctrl_c_leaves_behind() -> None:
    said = {importlib.import_module(f"hpc.{verb}").VERB.if_interrupted for verb in VERBS}
    assert all(said)
    assert not [words for words in said if words.endswith(".")]


@pytest.mark.parametrize(
    ("module", "function", "verb", "message"),
    [
        ("hpc.planning.check_run", "draft_run", ("check", *CONFIG),
         "interrupted; nothing was submitted"),
        ("hpc.planning.submit_run", "create_run", ("submit", *CONFIG),
         "interrupted; no new run was submitted. To start again, run the same command"),
        ("hpc.planning.submit_run", "create_run", ("submit", *CONFIG, "--canary", "1"),
         "interrupted; no new run was submitted. To start again, run the same command"),
        ("hpc.planning.preview_run", "draft_run", ("submit", *CONFIG, "--dry-run"),
         "interrupted; nothing was submitted, and nothing was written"),
        ("hpc.planning.handed_over.plan_only", "create_run", ("submit", *CONFIG, "--plan-only"),
         "interrupted; no new run was planned. To start again, run the same command"),
        ("hpc.overview.list_runs", "measure", ("ls",), "interrupted; nothing was changed"),
    ],
)  # fmt: skip
def test_before_there_is_a_run(
    bench: Bench, module: str, function: str, verb: tuple[str, ...], message: str
) -> None:
    sections = {"classifier": EXTERNAL} if "--plan-only" in verb else {}
    bench.config(posts=2, **sections)
    if verb == ("ls",):
        valence_run(bench.folder, 2)
    assert outcome(bench.python(INTERRUPTED, module, function, *verb)) == (130, f"{message}\n")


def test_a_submit_that_has_created_its_run_names_it(bench: Bench) -> None:
    """With --limit, the same command would label that many posts more."""
    bench.config(posts=3)
    words = ("hpc.planning.submit_run", "register_run", "submit", *CONFIG, "--limit", 1)
    done = bench.python(INTERRUPTED, *words)
    (run,) = bench.runs()
    assert outcome(done) == (
        130,
        "interrupted; the tasks on this machine save their answers and stop\n"
        f"to resume: hpc supervise runs/{run.name}\n",
    )


@pytest.mark.parametrize("yes", [(), ("--yes",)])
def test_a_canary_is_resumed_by_the_whole_command(bench: Bench, yes: tuple[str, ...]) -> None:
    """`supervise` would neither report on the canary nor submit the other posts."""
    bench.config(posts=3)
    words = ("submit", *CONFIG, "--canary", 1, *yes)
    done = bench.python(INTERRUPTED, "hpc.planning.submit_run", "register_run", *words)
    assert outcome(done) == (
        130,
        "interrupted; the tasks on this machine save their answers and stop\n"
        f"to resume the canary, run the same command: hpc {' '.join(map(str, words))}\n",
    )


def test_a_run_that_is_planned_for_another_engine_is_named(bench: Bench) -> None:
    bench.config(posts=2, classifier=EXTERNAL)
    words = ("hpc.planning.handed_over.plan_only", "register_new_run", "submit", *CONFIG)
    done = bench.python(INTERRUPTED, *words, "--plan-only")
    (run,) = bench.runs()
    assert outcome(done) == (
        130,
        f"interrupted\nrun {run} is planned, and nothing is submitted\n"
        "its file tasks.jsonl lists 2 shards for the engine, which writes its answers to answers/\n"
        f"next, once it has: hpc adopt runs/{run.name}/answers\n",
    )


@pytest.mark.parametrize(
    ("module", "function", "verb", "message"),
    [
        ("hpc.api.resubmission", "amend", "resubmit",
         "interrupted; nothing was submitted. To start again, run the same command"),
        ("hpc.reconcile.resubmit", "resubmit", "resubmit",
         "interrupted; the tasks on this machine save their answers and stop\nto resume: "
         "hpc supervise {run}"),
        ("hpc.api.supervision", "supervise", "supervise",
         "interrupted; the tasks on this machine save their answers and stop\nto resume: "
         "hpc supervise {run}"),
    ],
)  # fmt: skip
def test_with_a_run(bench: Bench, module: str, function: str, verb: str, message: str) -> None:
    run = valence_run(bench.folder, 2)
    done = bench.python(INTERRUPTED, module, function, verb)
    expected = message.format(run=f"runs/{run.folder.name}")
    assert outcome(done) == (130, f"{expected}\n")


def test_a_person_who_stops_watching_reads_that_the_run_continues(bench: Bench) -> None:
    run = valence_run(bench.folder, 2)
    done = bench.python(INTERRUPTED, "hpc.api.supervision", "look", "status", "--watch")
    assert outcome(done) == (
        130,
        f"stopped watching; the run continues\nnext: hpc status --watch runs/{run.folder.name}\n",
    )


def test_jobs_in_slurm_go_on_without_the_process(tmp_path: Path) -> None:
    run = valence_run(tmp_path, 2)
    supervise, cancel = command("supervise", run), command("cancel", run)
    with pytest.raises(Interruption) as end, explain_interruption(run, runs_in_background=True):
        raise KeyboardInterrupt
    assert str(end.value) == (
        f"interrupted; the jobs in Slurm keep running\nto continue here: {supervise}\n"
        f"to end the jobs: {cancel}"
    )
    with (
        pytest.raises(Interruption) as end,
        explain_submission_interruption(run, runs_in_background=True),
    ):
        raise KeyboardInterrupt
    canary = f"interrupted; the jobs in Slurm keep running\nto end the jobs: {cancel}\n"
    canary += "to resume the canary, run the same command"
    with (
        pytest.raises(Interruption, match=re.escape(canary)),
        explain_canary_interruption(run, runs_in_background=True),
    ):
        raise KeyboardInterrupt
    assert str(end.value) == (
        f"interrupted; jobs that Slurm has accepted keep running\nto submit the others: "
        f"{supervise}\nto end the jobs: {cancel}"
    )


def test_the_innermost_stage_knows_most() -> None:
    with (
        pytest.raises(Interruption, match=r"^inner$"),
        on_interruption_say("outer"),
        on_interruption_say("inner"),
    ):
        raise KeyboardInterrupt
