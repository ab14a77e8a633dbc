"""Submitting is all or nothing, and a submitter may die anywhere: never two arrays for a shard."""

import pathlib
import signal

import pytest

from hpc.naming.job_names import new_prefix
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm

KILL = "kill -9 $PPID"
IF_RELEASING = f"if [ $1 = update ]; then {KILL}; exit; fi"


def runs(bench: Bench) -> list[pathlib.Path]:
    return sorted((bench.folder / "runs").glob("[0-9]*"))


def jobs_in_queue(bench: Bench) -> set[str]:
    """Array job ids of this bench's runs that wait or run."""
    names = {
        f"{new_prefix(run.name, '')}{number:04d}" for run in runs(bench) for number in (1, 2, 3)
    }
    queue = bench.cluster.run("squeue", "-h", "-o", "%F %j").splitlines()
    return {line.split()[0] for line in queue if line.split()[1] in names}


@pytest.mark.parametrize(
    ("cluster_keys", "code", "words"),
    [
        ({"partition": "nowhere"}, 1, "invalid partition specified: nowhere"),
        ({"account": "nobody"}, 1, "Invalid account or account/partition combination specified"),
        ({"qos": "golden"}, 1, "Invalid qos specification"),
        # These are compared with what sinfo shows before sbatch is called.
        ({"mem_gb": 4000}, 2, "more than any node of partition normal has"),
        ({"cpus": 99}, 2, "more than any node of partition normal has"),
    ],
)
def test_a_rejection_shows_sbatchs_message_and_leaves_nothing_behind(
    bench: Bench, cluster_keys: dict[str, object], code: int, words: str
) -> None:
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 20), cluster=cluster_keys)
    refused = bench.hpc("submit", "--config", config)
    assert refused.returncode == code
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
    assert runs(bench) == []


def test_submit_wait_fails_while_another_run_still_has_the_posts(bench: Bench) -> None:
    """A script that waits for the labels must not go on without them."""
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 20), sharding={"shards": 1})
    bench.script(0, "wait")
    assert bench.hpc("submit", "--config", config).returncode == 0
    (run,) = runs(bench)
    for flags, code in (((), 0), (("--wait",), 3)):
        assert bench.document("submit", "--config", config, *flags, code=code)["posts"] == 0
    (bench.scripts / "go").touch()
    assert bench.hpc("supervise").returncode == 0
    assert bench.document("submit", "--config", config, "--wait")["posts"] == 0
    assert runs(bench) == [run]


def test_when_sbatch_rejects_the_second_array_the_first_is_withdrawn(bench: Bench) -> None:
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 20))
    once = bench.folder / "once"
    second = f"[ -e {once} ] && {{ echo 'sbatch: error: no second' >&2; exit 1; }}; touch {once}"
    # An array limit of 2 makes two arrays of the four shards; the cluster itself allows more.
    small = bench.shim("scontrol", "echo 'MaxArraySize = 2'; exit 0")
    env = bench.shim("sbatch", second, path=small["PATH"])
    refused = bench.hpc("submit", "--config", config, env=env)
    assert refused.returncode == 1
    assert "no second" in refused.stderr
    assert once.exists()
    assert runs(bench) == []
    held = bench.cluster.run("squeue", "-h", "-t", "PENDING", "-o", "%j")
    assert "test" not in held


DEATHS = [
    ("sbatch", f"{KILL}; exit", "", "before sbatch"),
    ("sbatch", "", KILL, "after sbatch, before its answer is recorded"),
    ("scontrol", IF_RELEASING, "", "before the array is released"),
    ("scontrol", "", IF_RELEASING, "after the array is released"),
]


@pytest.mark.parametrize("verb", ["submit", "supervise"])
@pytest.mark.parametrize(("program", "before", "after", "when"), DEATHS, ids=[d[3] for d in DEATHS])
def test_a_submission_that_died_is_resumed_with_one_array_for_its_shards(
    bench: Bench, program: str, before: str, after: str, when: str, verb: str
) -> None:
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 20))
    dead = bench.hpc("submit", "--config", config, env=bench.shim(program, before, after))
    assert dead.returncode == -signal.SIGKILL, when
    (run,) = runs(bench)
    if verb == "submit":
        taken = bench.document("submit", "--config", config)
        assert taken["run_id"] == run.name
    end = bench.document("supervise", run)
    assert (end["state"], end["posts_done"]) == ("complete", 20)
    assert [shard["attempts"] for shard in end["shards"]] == [1, 1, 1, 1]
    assert len({shard["array_job_id"] for shard in end["shards"]}) == 1
    assert sorted(bench.asked()) == sorted(uri for uri, _, _ in posts.rows(20))
    # A task has published before it ends; what would never leave the queue is a second array.
    wait_for(lambda: jobs_in_queue(bench) == set(), 60, "nothing of this run is in the queue")
    assert runs(bench) == [run]


def test_an_array_that_slurm_accepts_late_is_resumed_or_canceled(bench: Bench) -> None:
    """sbatch times out, and the controller takes the array when it finds the time."""
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 20))
    sbatch = bench.cluster.run("sh", "-c", "command -v sbatch").strip()
    now = bench.folder / "now"
    late = (
        f'(while [ ! -e {now} ]; do sleep 0.1; done; {sbatch} "$@") >/dev/null 2>&1 &\n'
        "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv "
        "operation' >&2; exit 1"
    )
    shell = bench.shim("sbatch", late)
    for verb, arguments in (("submit", ("--config", config)), ("supervise", ("--once",))):
        unanswered = bench.hpc(verb, *arguments, env=shell)
        assert unanswered.returncode == 1, verb
        assert "Traceback" not in unanswered.stderr
    (run,) = runs(bench)
    now.touch()
    wait_for(lambda: len(jobs_in_queue(bench)) == 2, 60, "both arrays were accepted")
    submitted = bench.document("submit", "--config", config)
    assert submitted["run_id"] == run.name
    assert len(submitted["array_jobs"]) == 1
    assert jobs_in_queue(bench) <= {str(job) for job in submitted["array_jobs"]}
    end = bench.document("supervise")
    assert (end["state"], end["posts_done"]) == ("complete", 20)
    assert sorted(bench.asked()) == sorted(uri for uri, _, _ in posts.rows(20))

    # Later still, when nobody submits any more.
    script = run / "logs" / "0001" / "sbatch.sh"
    bench.cluster.run("sbatch", str(script))
    assert bench.hpc("supervise").returncode == 0
    assert jobs_in_queue(bench) == set()


def test_a_submit_that_died_while_planning_does_not_block_the_next(bench: Bench) -> None:
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 20))
    abandoned = bench.folder / "runs" / ".planning-20240531T000000-test-0"
    (abandoned / "shards").mkdir(parents=True)
    submitted = bench.document("submit", "--config", config)
    assert submitted["posts"] == 20
    assert not abandoned.exists()
    assert bench.document("supervise")["state"] == "complete"


def test_an_abandoned_run_that_slurm_now_rejects_releases_its_posts(
    bench: Bench,
) -> None:
    source = posts.json_lines(bench.folder / "p.jsonl", 20)
    config = bench.config(source, cluster={"partition": "nowhere"})
    killed = bench.shim("sbatch", KILL, accepts_tests=True)
    dead = bench.hpc("submit", "--config", config, env=killed)
    assert dead.returncode == -signal.SIGKILL
    (left_behind,) = runs(bench)
    bench.config(source)
    taken = bench.document("submit", "--config", config)
    assert taken["posts"] == 20
    assert taken["run_id"] != left_behind.name
    assert not left_behind.exists()
    assert bench.document("supervise")["state"] == "complete"


def test_a_run_without_answers_releases_its_posts_to_a_corrected_run(bench: Bench) -> None:
    """Not as long as a task of it is alive."""
    source = posts.json_lines(bench.folder / "p.jsonl", 20)
    for index, word in enumerate(("wait-and-refuse", "wait")):
        bench.script(index, word)
    shards = {"sharding": {"shards": 2}, "retry": {"max_attempts": 1}}
    config = bench.config(source, **shards)
    bench.document("submit", "--config", config)
    # One that comes to its classifier after the refusal is stopped, and waits for nothing.
    waiting = lambda: [path.read_text() for path in bench.scripts.glob("[01]")] == ["", ""]  # noqa: E731
    wait_for(waiting, 90, "both have begun")
    (bench.scripts / "go-and-refuse").touch()
    wait_for(
        lambda: bench.states() == {0: ("blocked", "refused"), 1: ("running", None)}, 90, "one waits"
    )
    (wrong,) = runs(bench)
    bench.config(source, **shards, cluster={"time_min": 6})
    assert bench.hpc("submit", "--config", config).returncode == 1
    assert runs(bench) == [wrong]
    bench.document("cancel")
    assert bench.asked() == []
    wait_for(
        lambda: bench.hpc("submit", "--config", config).returncode == 0,
        60,
        "its end is accounted, and its files had their time",
    )
    (mended,) = runs(bench)
    assert mended != wrong
    assert bench.document("supervise")["state"] == "complete"
    assert sorted(bench.asked()) == sorted(uri for uri, _, _ in posts.rows(20))


def test_a_resubmission_that_died_is_resumed_and_not_repeated(bench: Bench) -> None:
    """The submitter dies right after sbatch; whoever comes next, by whatever verb, goes on with
    that array: two attempts of a shard at once would pay for its posts twice."""
    bench.script(2, "fail")
    config = bench.config(posts.json_lines(bench.folder / "p.jsonl", 20))
    bench.document("submit", "--config", config)
    wait_for(lambda: bench.states()[2] == ("failed", "crashed"), 90, "shard 2 failed")
    dead = bench.hpc("supervise", env=bench.shim("sbatch", "", KILL))
    assert dead.returncode == -signal.SIGKILL
    assert bench.hpc("resubmit").returncode == 0
    end = bench.document("supervise")
    assert (end["state"], end["shards"][2]["attempts"]) == ("complete", 2)
    assert sorted(bench.asked()) == sorted(uri for uri, _, _ in posts.rows(20))


def test_an_array_whose_release_failed_does_not_count_as_released(bench: Bench) -> None:
    """Also where it waits for another array: its time would come in a year."""
    bench.script(0, "fail")
    bench.script(1, "wait")
    config = bench.config(
        posts.json_lines(bench.folder / "p.jsonl", 20),
        sharding={"shards": 2},
        cluster={"max_parallel": 1},
    )
    bench.document("submit", "--config", config)
    wait_for(lambda: bench.states()[1] == ("running", None), 90, "shard 1 runs")
    wait_for(lambda: bench.states()[0] == ("failed", "crashed"), 90, "shard 0 failed")
    once = bench.folder / "once"
    fails = f"[ $1 = update ] && [ ! -e {once} ] && {{ touch {once}; echo busy >&2; exit 1; }}"
    refused = bench.hpc("resubmit", env=bench.shim("scontrol", fails))
    assert refused.returncode == 1
    assert "busy" in refused.stderr
    (bench.scripts / "go").touch()
    assert bench.document("supervise")["state"] == "complete"
    assert sorted(bench.asked()) == sorted(uri for uri, _, _ in posts.rows(20))
