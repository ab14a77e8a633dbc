"""Whole runs on one machine, verbs as processes: what a user types and reads."""

import json

import pytest

from hpc.run import run_folder, submissions
from pipeline.run_files.manifest import output_path
from tests.hpc.cli_bench import ROOT, Bench, ended, once, said, uris, valence_run
from tests.hpc.conftest import Here
from tests.hpc.processes import started
from tests.hpc.scripted_tasks import most_at_once
from tests.pipeline import run_builders

# What a classifier without quota and price will take.
NOT_KNOWN = {"requests": None, "quota_minutes": None, "cost_estimate": None, "currency": None}
QUICKSTART = ROOT / "configs" / "quickstart.yaml"


def test_the_quickstart_labels_every_post_once_and_then_has_nothing_to_do(bench: Bench) -> None:
    first = bench.hpc("submit", "--config", QUICKSTART)
    assert said(first) == (0, "")
    (run,) = bench.runs()
    lines = first.stdout.splitlines()
    assert lines[:5] == [
        f"{ROOT}/configs/sample/posts.jsonl: 3,000 rows: 20 copies of a uri, "
        "0 labelled or in an unfinished run, 0 left out by --limit, 2,980 to label",
        f"6 shards of 497 posts at most, 1 array, {lines[1].split(', ')[-1]}",
        f"run {run}",
        "0 of 6 shards done, 0 posts",
        f"attempt 1: 6 shards on this machine, indices 0-5, {lines[4].split(', ')[-1]}",
    ]
    assert lines[5:13] == [
        "6 of 6 shards done, 2,980 posts",
        "gathered 6 shards: 0 rows before, 2,980 added, 2,980 after "
        "(50 of those gathered cannot be labelled)",
        f"run {run.name}: complete",
        "",
        "  STATE  CAUSE  SHARDS  INDICES",
        "  done               6  0-5",
        "",
        "2,980 of 2,980 posts done (100 %)",
    ]
    assert lines[13:15] == [
        f"{bench.folder}/labels.duckdb, table labels_valence:",
        "  2,980 posts: 2,930 labelled, 50 cannot be (text_too_short 50)",
    ]
    assert bench.query(
        "SELECT count(*), count(DISTINCT uri), count(*) FILTER (reason = 'text_too_short'), "
        "count(*) FILTER (was_successfully_labeled AND valence_label IS NOT NULL) "
        "FROM labels_valence"
    ) == [(2980, 2980, 50, 2930)]
    second = bench.hpc("submit", "--config", QUICKSTART)
    assert said(second) == (0, "")
    assert second.stdout.endswith(" 0 to label\nnothing to label under the name valence\n")
    assert bench.runs() == [run]


def test_a_submission_is_one_document_for_programs(bench: Bench) -> None:
    bench.config(posts=5)
    done = bench.submit("--json", "--limit", 4)
    (run,) = bench.runs()
    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "run_id": run.name,
        "run_dir": str(run),
        "posts": 4,
        "shards": 2,
        "array_jobs": [],
        "dry_run": False,
        **NOT_KNOWN,
    }
    assert "gathered 2 shards: 0 rows before, 4 added, 4 after\n" in done.stderr
    assert "1 left out by --limit" in done.stderr
    planned = bench.submit("--json", "--dry-run", "--set", "sharding.shards=1")
    assert json.loads(planned.stdout) == {
        "run_id": None, "run_dir": None, "posts": 1, "shards": 1, "array_jobs": [],
        "dry_run": True, **NOT_KNOWN,
    }  # fmt: skip
    assert bench.document("gather") == {
        "rows_before": 4,
        "rows_added": 0,
        "rows_after": 4,
        "unlabelable": 0,
        "already_present": 0,
        "rejected_outputs": [],
    }


def test_no_more_tasks_live_at_once_than_may(bench: Bench) -> None:
    gate = bench.folder / "gate"
    bench.config(
        posts=12,
        sharding={"shards": 6},
        cluster={"max_parallel": 2},
        classifier={"gate": str(gate)},
    )
    driver = started(bench, 2)
    gate.touch()
    assert said(ended(driver)) == (0, "")
    assert most_at_once(bench.words) == 2
    assert bench.asked() == once(12)


def test_a_task_that_fails_once_is_tried_again_and_only_it(bench: Bench) -> None:
    bench.config(posts=6, sharding={"shards": 3})
    bench.tell(1, "fail")
    done = bench.submit()
    assert said(done) == (0, "")
    assert (
        "trying 1 shard again, crashed: the same again; shard 1: this was scripted\n"
        "attempt 2: 1 shard on this machine, index 1, 1 at once (crashed: the same again)\n"
        in done.stdout
    )
    assert bench.states() == [("done", None, 1), ("done", None, 2), ("done", None, 1)]
    assert bench.asked() == once(6)
    assert bench.query("SELECT count(*) FROM labels_test") == [(6,)]


def test_attempts_used_up_block_a_shard_and_a_person_may_force_it(bench: Bench, here: Here) -> None:
    bench.config(posts=6, sharding={"shards": 3}, retry={"max_attempts": 2})
    bench.tell(1, "fail fail")
    done = bench.submit()
    (run,) = bench.runs()
    assert said(done) == (1, "")
    table = (
        f"run {run.name}: blocked\n"
        "\n"
        "  STATE    CAUSE    SHARDS  INDICES\n"
        "  done                   2  0,2\n"
        "  blocked  crashed       1  1\n"
        "\n"
        "4 of 6 posts done (66 %)\n"
        "\n"
        "  shard 1: this was scripted; attempts used up: 2\n"
    )
    assert table in done.stdout
    assert done.stdout.endswith(f"\nnext: python -m hpc.resubmit --force {run}\n")
    status = here("status")
    assert said(status) == (1, "")
    assert status.stdout == f"{table}\nnext: python -m hpc.resubmit --force {run}\n"
    assert "RuntimeError: this was scripted" in (run / "logs/0002/00001.log").read_text()
    unforced = here("resubmit")
    assert said(unforced) == (0, "")
    assert unforced.stdout == (
        f"no shard of run {run.name} is failed: nothing to submit again\n"
        f"next: python -m hpc.resubmit --force {run}\n"
    )
    dry = here("resubmit", "--force", "--dry-run")
    assert said(dry) == (0, "")
    assert dry.stdout == (
        "would submit attempt 3: 1 shard, index 1, 1 at once (crashed: the same again)\n"
    )
    assert json.loads(here("resubmit", "--force", "--dry-run", "--json").stdout) == {
        "run_id": run.name, "shards": [1], "array_jobs": [],
    }  # fmt: skip
    assert bench.states()[1] == ("blocked", "crashed", 2)
    forced = bench.hpc("resubmit", "--force")
    assert said(forced) == (0, "")
    assert forced.stdout.startswith(
        "trying 1 shard again, crashed: the same again; shard 1: this was scripted; attempts used "
        "up: 2\n"
        "attempt 3: 1 shard on this machine, index 1, 1 at once (crashed: the same again)\n"
        f"run {run.name}: complete\n"
    )
    assert forced.stdout.endswith(f"next: python -m hpc.gather {run}\n")
    assert bench.states() == [("done", None, 1), ("done", None, 3), ("done", None, 1)]
    assert said(here("gather", run)) == (0, "")
    assert bench.asked() == once(6)


def test_a_forced_shard_that_fails_again_is_said_to_have_failed(bench: Bench) -> None:
    bench.config(posts=4, retry={"max_attempts": 1})
    bench.tell(0, "sulk fail")
    assert said(bench.submit()) == (1, "")
    assert bench.states() == [("blocked", "refused", 1), ("done", None, 1)]
    forced = bench.hpc("resubmit", "--indices", "0", "--force")
    assert said(forced) == (1, "")
    assert "  shard 0: this was scripted; attempts used up: 1\n" in forced.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--indices", "0"], 1, "shard 0 is done: delete outputs/00000.parquet to have it done "
         "again"),
        (["--indices", "5"], 1, "there is no shard 5: this run's shards are 0-1"),
        (["--indices", "1"], 1, "shard 1 is planned (not submitted yet)"),
        (["--indices", "x"], 2, "--indices: 'x' is no list of indices like 3,7-9"),
        (["--indices", "3-1"], 2, "--indices: '3-1': 3-1 is no range of indices"),
        (["--indices", ""], 2, "--indices: '' is no list of indices like 3,7-9"),
    ],
)  # fmt: skip
def test_resubmit_refuses_what_it_will_not_take(
    bench: Bench, here: Here, arguments: list[str], code: int, message: str
) -> None:
    run = valence_run(bench.folder, 4)
    run_builders.publish_shard(run.folder, run.manifest, 0)
    before = bench.listing()
    assert said(here("resubmit", *arguments)) == (code, f"error: {message}\n")
    assert [path for path in bench.listing() if path not in before] == [
        f"runs/{run.run_id}/{name}" for name in (".lock", ".seen-outputs.json") if code == 1
    ]


def test_a_deleted_output_is_done_again_at_the_same_index(bench: Bench) -> None:
    bench.config(posts=4)
    bench.submit()
    (run,) = bench.runs()
    output_path(run, 1).unlink()
    assert bench.states() == [("done", None, 1), ("failed", "no_output", 1)]
    assert said(bench.hpc("resubmit", "--indices", "1", run)) == (0, "")
    assert [
        (one.number, one.plan.shards) for one in submissions.read_submissions(run_folder.load(run))
    ] == [
        (1, (0, 1)),
        (2, (1,)),
    ]
    assert bench.document("gather")["rows_added"] == 0
    assert bench.query("SELECT attempt, count(*) FROM labels_test GROUP BY 1 ORDER BY 1") == [
        (1, 2),
        (2, 2),
    ]


def test_status_of_a_run_that_nobody_has_submitted(bench: Bench) -> None:
    run = valence_run(bench.folder, 4)
    run_builders.publish_shard(run.folder, run.manifest, 0)
    done = bench.hpc("status", "--run-root", "runs")
    assert said(done) == (1, "")
    assert done.stdout == (
        f"run {run.run_id}: planned\n"
        "\n"
        "  STATE    CAUSE  SHARDS  INDICES\n"
        "  done                 1  0\n"
        "  planned              1  1\n"
        "\n"
        "2 of 4 posts done (50 %)\n"
        f"\nnext: python -m hpc.supervise {run.folder}\n"
    )
    document = bench.document("status", run.run_id, code=1)
    assert (document["state"], document["posts"], document["posts_done"]) == ("planned", 4, 2)
    run_builders.publish_shard(run.folder, run.manifest, 1)
    assert bench.document("status", code=0)["state"] == "complete"


def test_of_a_run_that_is_gathered_nothing_is_left_to_do(bench: Bench, here: Here) -> None:
    run = valence_run(bench.folder, 4)
    run_builders.publish_shard(run.folder, run.manifest, 0)
    assert here("gather").returncode == 0
    run_builders.publish_shard(run.folder, run.manifest, 1)
    gather = f"next: python -m hpc.gather {run.folder}"
    nothing = f"nothing is left to do: every post has its row in {bench.folder}/labels.duckdb"
    assert here("status").stdout.splitlines()[-1] == gather
    assert here("gather").returncode == 0
    assert here("status").stdout.splitlines()[-1] == nothing
    assert here("resubmit").stdout.splitlines()[-1] == nothing
    # An output that was made again since is one that the database does not have.
    output_path(run.folder, 1).unlink()
    run_builders.publish_shard(run.folder, run.manifest, 1, attempt=2)
    assert here("status").stdout.splitlines()[-1] == gather


def test_posts_that_come_later_are_a_run_of_their_own(bench: Bench) -> None:
    bench.config(posts=3)
    bench.submit()
    bench.backlog(run_builders.posts(5))
    done = bench.submit()
    assert said(done) == (0, "")
    assert "5 rows: 0 copies of a uri, 3 labelled or in an unfinished run" in done.stdout
    assert len(bench.runs()) == 2
    assert bench.query("SELECT uri FROM labels_test ORDER BY uri") == [(at,) for at in uris(5)]
    assert bench.asked() == once(5)
