"""What every verb shares: how it is called, what --help says, how it ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from hpc.cli import VERBS
from tests.hpc.cli_bench import Bench, Done, valence_run

USAGE = "usage: python -m hpc.VERB [--help] …, or hpc VERB …\n\n"
FIRST = "\nfirst: python -m hpc.submit --config configs/quickstart.yaml\n"


def run(bench: Bench, *command: str) -> Done:
    return subprocess.run(
        command, cwd=bench.folder, env=bench.env, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip


def module(bench: Bench, *arguments: str) -> Done:
    return run(bench, sys.executable, "-m", "hpc", *arguments)


@pytest.mark.parametrize("asked", [[], ["-h"], ["--help"]])
def test_without_a_verb_the_verbs_are_listed(bench: Bench, asked: list[str]) -> None:
    done = module(bench, *asked)
    assert (done.returncode, done.stderr) == (0, "")
    listed = "".join(f"  {verb:<10} {does}\n" for verb, does in VERBS.items())
    assert done.stdout == USAGE + listed + FIRST


def test_an_unknown_verb_is_refused_with_the_list(bench: Bench) -> None:
    done = module(bench, "submitt")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: there is no verb 'submitt'\n\nusage: ")
    assert done.stderr.endswith(FIRST)


def test_the_installed_script_is_the_same_program(bench: Bench) -> None:
    script = Path(sys.executable).with_name("hpc")
    assert run(bench, str(script)).stdout == module(bench).stdout
    status = run(bench, str(script), "status")
    as_module = run(bench, sys.executable, "-m", "hpc.status")
    assert (status.returncode, status.stderr) == (as_module.returncode, as_module.stderr)
    assert status.returncode == 2


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_and_the_exit_codes(bench: Bench, verb: str) -> None:
    done = run(bench, sys.executable, "-m", f"hpc.{verb}", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: python -m hpc.{verb} [-h]")
    assert f"\n{VERBS[verb].capitalize()}.\n" in done.stdout.replace("\n  ", " ")
    assert f"\nexample:\n  python -m hpc.{verb}" in done.stdout
    assert "--json" in done.stdout
    assert done.stdout.endswith(
        "0 done; 1 something failed or needs a person; 2 usage, configuration or input is wrong; "
        "3 the run\nis still under way; 130 interrupted.\n"
    )


def test_wrong_usage_is_code_2(bench: Bench) -> None:
    done = bench.hpc("status", "--config", "a.yaml", "--run-root", "runs")
    assert done.returncode == 2
    assert done.stderr.endswith("argument --run-root: not allowed with argument --config\n")
    done = bench.hpc("submit")
    assert done.returncode == 2
    assert done.stderr.endswith("the following arguments are required: --config\n")


def test_a_reader_that_has_seen_enough_is_no_error_with_a_traceback(bench: Bench) -> None:
    valence_run(bench.folder, 4)
    command = f"{sys.executable} -m hpc.status | true; exit ${{PIPESTATUS[0]}}"
    done = run(bench, "bash", "-c", command)
    assert (done.stdout, done.stderr) == ("", "")


def test_without_run_or_root_a_verb_takes_the_newest_run_under_the_configurations_root(
    bench: Bench,
) -> None:
    older = valence_run(bench.folder, 4)
    newer = valence_run(bench.folder, 4, run_id="20240602T120000-valence-89abcdef")
    bench.config(storage={"run_root": "elsewhere"})
    (bench.folder / "elsewhere").mkdir()
    older.folder.rename(bench.folder / "elsewhere" / older.run_id)
    assert bench.document("status", code=1)["run_id"] == newer.run_id
    assert bench.document("status", "--config", bench.path, code=1)["run_id"] == older.run_id
    assert bench.document("status", "--run-root", "elsewhere", code=1)["run_id"] == older.run_id


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--time-min", "0"], "--time-min: should be a whole number, 1 or more, not '0'"),
        (["--mem-gb", "nan"], "--mem-gb: should be a number above 0, not 'nan'"),
        (["--mem-gb", "-4"], "--mem-gb: should be a number above 0, not '-4'"),
    ],
)
def test_no_task_can_be_given_less_than_something(
    bench: Bench, arguments: list[str], problem: str
) -> None:
    done = module(bench, "resubmit", *arguments)
    assert done.returncode == 2
    assert done.stderr.endswith(f"error: argument {problem}\n")
