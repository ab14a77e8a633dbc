"""The words that verbs print about a run: the only module that asserts them.

Other families have a module each: configurations in `tests/hpc/run/test_config_messages`, the
plan of a run in `tests/hpc/planning/test_submit_messages`, errors
in `test_endings` and `test_bad_input`, the command line in `test_cli`, `logs` in `test_logs`,
`audit` in `test_audit`, `compare` in `compare/`, the status table in `tests/hpc/display`.
"""

import os
import re
import socket
import sys

import pytest

from hpc.locks import run_lock
from pipeline.run_files.manifest import output_path
from tests.hpc.cli_bench import Bench, ended, exit_code, outcome, valence_run
from tests.hpc.processes import started, tasks_of
from tests.pipeline import run_builders

SEVERAL_OF_ONE = re.compile(
    r"(?<![\d,.:])1 (more )?(posts|shards|tasks|rows|copies|arrays|labels)\b"
)


# Before each line of a run that is watched.
TIME = re.compile(r"^(?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d ", re.MULTILINE)


def test_every_verb_uses_the_singular_for_one_post(bench: Bench) -> None:
    bench.config(sharding={"shards": 1}, cluster={"max_parallel": 1})
    bench.backlog([*run_builders.posts(1), *run_builders.posts(1)])
    plan = bench.submit("--dry-run")
    printed = [plan, bench.submit()]
    printed += [bench.hpc(verb) for verb in ("status", "cancel", "gather", "supervise", "resubmit")]
    printed.append(bench.hpc("audit", "--config", bench.path))
    (run,) = bench.runs()
    for done in printed:
        assert outcome(done) == (0, "")
        assert not SEVERAL_OF_ONE.search(done.stdout), done.stdout
    assert not SEVERAL_OF_ONE.search((run / "logs/00000.log").read_text())
    said = TIME.sub("", printed[1].stdout).splitlines()
    assert {
        "gathered 1 shard: 0 rows before, 1 added, 1 after",
        "1 of 1 shard done, 1 of 1 post",
    } <= {*said}


def test_a_run_whose_shard_fails_until_a_person_forces_it(bench: Bench) -> None:
    bench.config(posts=6, sharding={"shards": 3}, retry={"max_attempts": 2})
    bench.script(1, "fail fail")
    submit = bench.submit()
    said = TIME.sub("", submit.stdout)
    (run,) = bench.runs()
    table = (
        f"run {run.name}: blocked\n"
        "\n"
        "  STATE    CAUSE    SHARDS  INDICES\n"
        "  done                   2  0,2\n"
        "  blocked  crashed       1  1\n"
        "\n"
        "4 of 6 posts done (66 %)\n"
        "failed attempts of unfinished shards: 2 crashed\n"
        "\n"
        "  shard 1: this was scripted; no attempts left (2 of 2)\n"
    )
    assert outcome(submit) == (1, "")
    progress = re.compile(
        r"^\d of 3 shards done, \d of 6 posts(; [\w ,]+)?\n", re.MULTILINE
    )  # by the clock
    assert progress.search(said)
    assert f"run {run}\n" in said
    _, after_the_plan = progress.sub("", said).split(f"run {run}\n", 1)
    packed = re.compile(
        r"^packed the files of 2 shards: the run had \d+ files and folders, and now has \d+$", re.M
    )
    after_the_plan = packed.sub("packed", after_the_plan)
    assert after_the_plan.startswith(
        "submission 1: 3 shards on this machine, indices 0-2, up to 2 at a time\n"
        "gathered 2 shards: 0 rows before, 4 added, 4 after\n"
        "retrying 1 shard, crashed: same settings; shard 1: this was scripted\n"
        "submission 2: 1 shard on this machine, index 1, up to 1 at a time "
        "(crashed: same settings)\n"
        "packed\n"
        f"{table}"
        f"{bench.folder}/labels.duckdb, table labels_test:\n"
        "  4 posts: 4 labeled\n"
    ), submit.stdout
    assert submit.stdout.endswith(f"\nnext: hpc resubmit --force runs/{run.name}\n")
    assert bench.hpc("status").stdout == f"{table}\nnext: hpc resubmit --force runs/{run.name}\n"
    assert bench.hpc("resubmit").stdout == (
        "1 shard blocked: --force resubmits those that have ended\n"
        f"next: hpc resubmit --force runs/{run.name}\n"
    )
    assert bench.hpc("resubmit", "--force", "--dry-run").stdout == (
        "would make submission 3: 1 shard, index 1, up to 1 at a time (crashed: same settings)\n"
    )
    assert bench.hpc("resubmit", "--force").stdout == (
        "retrying 1 shard, crashed: same settings; shard 1: this was scripted; no attempts "
        "left (2 of 2)\n"
        "submission 3: 1 shard on this machine, index 1, up to 1 at a time "
        "(crashed: same settings)\n"
        f"run {run.name}: complete\n"
        "\n"
        "  STATE  CAUSE  SHARDS  INDICES\n"
        "  done               3  0-2\n"
        "\n"
        "6 of 6 posts done (100 %)\n"
        "\n"
        f"next: hpc gather runs/{run.name}\n"
    )
    assert bench.hpc("gather").returncode == 0
    assert bench.submit().stdout.endswith("nothing to label under the name test\n")


def test_cron_prints_the_labels_once_and_then_a_line(bench: Bench) -> None:
    run = valence_run(bench.folder, 4)
    for shard in (0, 1):
        run_builders.publish_shard(run.folder, run.manifest, shard)
    labels = f"{bench.folder}/labels.duckdb, table labels_{run.manifest.name}:"
    first = bench.hpc("supervise", "--once")
    assert outcome(first) == (0, "")
    assert labels in first.stdout
    second = bench.hpc("supervise", "--once")
    assert outcome(second) == (0, "")
    assert TIME.sub("", second.stdout) == (
        f"run {run.run_id} is complete, and nothing is new: each of its 4 posts has a row in "
        f"{bench.folder}/labels.duckdb\n"
    )


def test_cron_repeats_why_a_run_is_blocked_and_not_its_labels(bench: Bench) -> None:
    bench.config(posts=4, retry={"max_attempts": 1})
    bench.script(1, "fail")
    assert "table labels_test:" in bench.submit().stdout
    for _ in range(2):
        again = bench.hpc("supervise", "--once")
        assert outcome(again) == (1, "")
        assert "  shard 1: this was scripted; no attempts left (1 of 1)\n" in again.stdout
        assert "table labels_test:" not in again.stdout
        assert "\nnext: hpc resubmit --force" in again.stdout


def test_the_next_command_is_to_gather_until_the_database_has_every_row(bench: Bench) -> None:
    run = valence_run(bench.folder, 4)
    run_builders.publish_shard(run.folder, run.manifest, 0)
    assert bench.hpc("gather").returncode == 0
    assert bench.hpc("status").stdout.splitlines()[-1] == (f"next: hpc supervise runs/{run.run_id}")
    run_builders.publish_shard(run.folder, run.manifest, 1)
    gather = f"next: hpc gather runs/{run.run_id}"
    nothing = f"done: every post of the run has a row in {bench.folder}/labels.duckdb"
    assert bench.hpc("status").stdout.splitlines()[-1] == gather
    assert bench.hpc("gather").returncode == 0
    assert bench.hpc("status").stdout.splitlines()[-1] == nothing
    assert bench.hpc("resubmit").stdout.splitlines()[-1] == nothing
    moved = bench.hpc("resubmit", "--set", "storage.layout=parquet").stdout.splitlines()
    assert moved[-1] == f"next: hpc gather --rebuild runs/{run.run_id}"
    assert nothing not in moved
    assert bench.hpc("gather", "--rebuild").returncode == 0
    # An output that was made again since is one that the database does not have.
    output_path(run.folder, 1).unlink()
    run_builders.publish_shard(run.folder, run.manifest, 1, attempt=2)
    assert bench.hpc("status").stdout.splitlines()[-1] == gather


@pytest.mark.parametrize(
    ("indices", "code", "message"),
    [
        ("0", 1, "shard 0 is done: delete outputs/00000.parquet to label it again"),
        ("5", 1, "there is no shard 5: this run has shards 0-1"),
        ("1", 1, "shard 1 is planned (not submitted yet)"),
        ("x", 2, "--indices: 'x' is not a list of indices such as 3,7-9"),
        ("3-1", 2, "--indices: '3-1': 3-1 is not a range of indices"),
        ("", 2, "--indices: '' is not a list of indices such as 3,7-9"),
    ],
)
def test_resubmit_says_why_it_rejects_a_shard(
    bench: Bench, indices: str, code: int, message: str
) -> None:
    run = valence_run(bench.folder, 4)
    run_builders.publish_shard(run.folder, run.manifest, 0)
    assert outcome(bench.hpc("resubmit", "--indices", indices)) == (code, f"error: {message}\n")


def test_cancel_names_the_process_that_it_stops_and_submit_resumes_the_run(bench: Bench) -> None:
    bench.config(posts=60, sharding={"shards": 3}, classifier={"seconds": 0.3})
    driver = started(bench, 2)
    (run,) = bench.runs()
    cancelled = bench.hpc("cancel")
    interrupted = ended(driver)
    kept = bench.document("status", code=1)["posts_done"]
    assert outcome(cancelled) == (0, "")
    assert cancelled.stdout == (
        f"stopping pid {driver.pid} "
        f"({sys.executable} -m hpc.submit --config {bench.path})\n"
        "canceled on this machine: 2 running and 1 pending task\n"
        f"kept: the outputs of 0 of 3 shards (0 posts), and {kept} answers of shards that are not "
        "done\n"
        f"to resume: hpc resubmit runs/{run.name}\n"
    )
    assert exit_code(interrupted) == 130
    assert (
        "stopping 2 tasks, which takes up to 30 s, because they save their answers first. "
        "Ctrl-C again leaves at once, and the tasks stop by themselves\n"
    ) in interrupted.stdout
    shards = bench.document("status", code=1)["shards"]
    assert shards[2]["message"] == "the process of submission 1 ended as never started"
    bench.hurry()
    assert exit_code(bench.submit()) == 0


def test_cancel_says_that_nothing_is_alive_and_what_comes_next(bench: Bench) -> None:
    run = valence_run(bench.folder, 4)
    nothing = f"run {run.run_id} has no tasks on this machine; nothing to cancel\n"
    assert bench.hpc("cancel").stdout == (
        f"{nothing}"
        "kept: the outputs of 0 of 2 shards (0 posts)\n"
        f"to resume: hpc supervise runs/{run.run_id}\n"
    )
    for shard in (0, 1):
        run_builders.publish_shard(run.folder, run.manifest, shard)
    assert bench.hpc("gather").returncode == 0
    assert bench.hpc("cancel").stdout == (
        f"{nothing}"
        "kept: the outputs of 2 of 2 shards (4 posts)\n"
        f"done: every post of the run has a row in {bench.folder}/labels.duckdb\n"
    )


def test_cancel_names_the_machine_on_which_it_must_run(bench: Bench) -> None:
    run = valence_run(bench.folder, 4)
    with run_lock.locked(run.folder, "", noted=False):
        (run.folder / run_lock.LOCK).write_text("4711 login2 99\n")
        assert outcome(bench.hpc("cancel")) == (
            1,
            f"error: run {run.run_id} is running on another machine (pid 4711 on login2); there, "
            f"type: hpc cancel {run.folder}\n",
        )


def test_every_verb_that_would_submit_names_a_locked_run(bench: Bench) -> None:
    bench.config(posts=60, sharding={"shards": 1}, classifier={"seconds": 0.3})
    driver = started(bench, 1)
    (run,) = bench.runs()
    driver.kill()
    ended(driver)
    locked = (
        f"run {run.name} is locked by another process (submit, resubmit, supervise or local "
        "tasks): wait for it or stop it\n"
    )
    for verb in ("supervise", "resubmit"):
        assert outcome(bench.hpc(verb)) == (1, f"error: {locked}")
    submitted = bench.submit()
    assert outcome(submitted) == (3, "")
    assert submitted.stdout.startswith(locked)
    assert submitted.stdout.endswith(
        f"nothing to label under the name test\nnext: hpc status runs/{run.name}\n"
    )
    (task,) = tasks_of(bench.folder)
    cancelled = bench.hpc("cancel").stdout.splitlines()
    assert cancelled[0].startswith(f"stopping pid {task} (")
    assert cancelled[1] == "canceled on this machine: 1 running and 0 pending tasks"


def test_a_second_submit_names_the_process_that_is_planning(bench: Bench) -> None:
    bench.config(posts=6)
    root = bench.folder / "runs"
    with run_lock.locked(root, "nobody else is here"):
        assert outcome(bench.submit()) == (
            1,
            f"error: another submit is planning under {root}: wait for it "
            f"(pid {os.getpid()} on {socket.gethostname()})\n",
        )
