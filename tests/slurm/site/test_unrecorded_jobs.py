"""What Slurm has of a run and no record names: nothing is submitted, and nothing is paid twice."""

import pathlib
import shutil
from collections import Counter

import pytest

from hpc.naming.job_names import parse_job_name
from tests.slurm.private_cluster import posts
from tests.slurm.private_cluster.cluster import wait_for
from tests.slurm.private_cluster.commands import Bench

pytestmark = pytest.mark.slurm

POSTS = 40


def uris() -> Counter[str]:
    return Counter(uri for uri, _, _ in posts.rows(POSTS))


def submitted(bench: Bench, *words: object) -> tuple[pathlib.Path, int]:
    """Submit four shards of which two may be at work, and wait until both are. Return the run's
    folder and its array."""
    for index in range(4):
        bench.script(index, "wait")
    source = posts.json_lines(bench.folder / "p.jsonl", POSTS)
    config = bench.config(source, cluster={"max_parallel": 2})
    document = bench.document("submit", "--config", config, *words)
    wait_for(lambda: bench.has_begun(0) and bench.has_begun(1), 90, "two tasks are at work")
    (job,) = document["array_jobs"]
    return pathlib.Path(document["run_dir"]), job


def arrays(bench: Bench, run: pathlib.Path) -> set[str]:
    """Job ids of the run's arrays that wait or run, whichever copy submitted them."""
    queue = bench.cluster.run("squeue", "-h", "-o", "%F %j").splitlines()
    jobs = ((line.split()[0], parse_job_name(line.split()[1])) for line in queue)
    return {job for job, name in jobs if name and name.run_id == run.name and name.number}


def test_a_run_whose_newest_record_is_lost_is_not_submitted_while_its_array_lives(
    bench: Bench,
) -> None:
    """Whoever submits next, in whatever way, stops, and leaves the array alone."""
    run, job = submitted(bench)
    record = run / "submissions" / "0001.json"
    kept = record.read_bytes()
    record.unlink()
    assert {state for state, _ in bench.states().values()} == {"planned"}
    config = bench.folder / "run.yaml"
    for verb, *words in (
        ("supervise",),
        ("supervise", "--once"),
        ("submit", "--config", config),
        ("submit", "--config", config, "--wait"),
    ):
        refused = bench.hpc(verb, *words)
        assert (refused.returncode, "Traceback" in refused.stderr) == (1, False), refused
        assert f" {job} " in refused.stderr
        assert f"scancel {job}" in refused.stderr
    assert arrays(bench, run) == {str(job)}
    assert list((run / "submissions").iterdir()) == []
    # Putting the record back is one way on.
    record.write_bytes(kept)
    (bench.scripts / "go").touch()
    assert bench.document("supervise")["posts_done"] == POSTS
    assert Counter(bench.asked()) == uris()


def test_after_the_array_of_a_lost_record_has_ended_the_next_one_has_a_new_number(
    bench: Bench,
) -> None:
    run, job = submitted(bench)
    (run / "submissions" / "0001.json").unlink()
    assert bench.hpc("supervise", "--once").returncode == 1
    bench.cluster.run("scancel", str(job))
    wait_for(lambda: arrays(bench, run) == set(), 90, "the array has ended")
    (bench.scripts / "go").touch()
    status = bench.hpc("status")
    assert "submissions/0001.json" in status.stdout
    end = bench.document("supervise")
    assert (end["state"], end["posts_done"]) == ("complete", POSTS)
    assert [path.name for path in (run / "submissions").iterdir()] == ["0002.json"]
    assert Counter(bench.asked()) == uris()


def test_a_run_folder_that_was_put_back_from_a_backup_is_not_submitted_while_its_array_lives(
    bench: Bench,
) -> None:
    """The backup is from before the newest submission, or from the middle of it."""
    bench.script(2, "fail")
    for index in (0, 1, 3):
        bench.script(index, "")
    source = posts.json_lines(bench.folder / "p.jsonl", POSTS)
    document = bench.document("submit", "--config", bench.config(source))
    run = pathlib.Path(document["run_dir"])
    wait_for(lambda: bench.states()[2] == ("failed", "crashed"), 90, "shard 2 failed")
    backup = shutil.copytree(run, bench.folder / "backup")
    bench.script(2, "wait")
    assert bench.hpc("resubmit").returncode == 0
    wait_for(lambda: bench.has_begun(2), 90, "shard 2 is at work again")
    (again,) = arrays(bench, run)
    shutil.rmtree(run)
    shutil.copytree(backup, run)
    assert bench.states()[2] == ("failed", "crashed")
    for verb, *words in (("resubmit",), ("resubmit", "--force"), ("supervise", "--once")):
        refused = bench.hpc(verb, *words)
        assert refused.returncode == 1, refused
        assert f" {again} " in refused.stderr
    (bench.scripts / "go").touch()
    wait_for(lambda: bench.states()[2] == ("done", None), 90, "it publishes into the folder")
    assert bench.document("supervise")["posts_done"] == POSTS
    assert Counter(bench.asked()) == uris()


def test_no_new_run_takes_the_posts_of_a_run_at_work_whose_folder_is_gone(bench: Bench) -> None:
    """The folder of all runs was put back from a backup, which is older than the run."""
    run, job = submitted(bench)
    kept = run.rename(bench.folder / "kept")
    config = bench.folder / "run.yaml"
    for _ in range(2):
        refused = bench.hpc("submit", "--config", config)
        assert (refused.returncode, "Traceback" in refused.stderr) == (1, False), refused
        assert str(run) in refused.stderr
        assert f"scancel {job}" in refused.stderr
        assert list(run.parent.glob("[0-9]*")) == []  # it would pay for the posts once more
    kept.rename(run)
    (bench.scripts / "go").touch()
    assert bench.document("supervise")["posts_done"] == POSTS
    assert Counter(bench.asked()) == uris()


def test_a_record_from_before_sbatch_answered_adopts_its_array_dead_or_alive(
    bench: Bench,
) -> None:
    run, job = submitted(bench)
    record = run / "submissions" / "0001.json"
    released = record.read_text()
    lines = [
        line
        for line in released.splitlines()
        if not line.lstrip().startswith(('"array_job_id"', '"released_at"'))
    ]
    lines[1:1] = [' "array_job_id": null,', ' "released_at": null,']
    begun = "\n".join(lines)
    record.write_text(begun)
    bench.hpc("supervise", "--once")
    assert arrays(bench, run) == {str(job)}
    assert f'"array_job_id": {job}' in record.read_text()
    (bench.scripts / "go").touch()
    wait_for(lambda: arrays(bench, run) == set(), 90, "the array has ended")
    record.write_text(begun)
    end = bench.document("supervise")
    assert (end["state"], end["posts_done"]) == ("complete", POSTS)
    assert {shard["array_job_id"] for shard in end["shards"]} == {job}
    assert Counter(bench.asked()) == uris()


def test_a_run_without_records_is_never_deleted_because_slurm_does_not_answer(
    bench: Bench,
) -> None:
    """It would seem that nothing of it was ever submitted."""
    run, _ = submitted(bench)
    record = run / "submissions" / "0001.json"
    kept = record.read_bytes()
    record.unlink()
    silent = bench.shim("squeue", "echo 'squeue: error: no answer' >&2; exit 1")
    silent = bench.shim("sacct", "exit 1", path=silent["PATH"])
    refused = bench.hpc("submit", "--config", bench.folder / "run.yaml", env=silent)
    assert refused.returncode == 1, refused
    assert "no answer" in refused.stderr
    record.write_bytes(kept)
    (bench.scripts / "go").touch()
    assert bench.document("supervise")["posts_done"] == POSTS
    assert Counter(bench.asked()) == uris()


def test_a_damaged_record_keeps_its_run_from_being_resumed_and_new_posts_go_on(
    bench: Bench,
) -> None:
    run, _ = submitted(bench)
    (bench.scripts / "go").touch()
    wait_for(lambda: arrays(bench, run) == set(), 90, "the array has ended")
    (run / "submissions" / "0001.json").write_text("{")
    posts.json_lines(bench.folder / "p.jsonl", POSTS + 10)
    config = bench.folder / "run.yaml"
    new = bench.document("submit", "--config", config, code=1)
    assert (new["posts"], len(new["array_jobs"])) == (10, 1)
    assert bench.document("submit", "--config", config, code=1)["posts"] == 0
    assert bench.document("supervise")["posts_done"] == 10
    for verb in ("status", "supervise", "resubmit"):
        refused = bench.hpc(verb, run)
        assert (refused.returncode, "Traceback" in refused.stderr) == (2, False), refused
        assert "0001.json" in refused.stderr


def test_a_copy_and_its_original_never_work_on_the_run_at_the_same_time(bench: Bench) -> None:
    run, job = submitted(bench)
    record = run / "submissions" / "0001.json"
    kept = record.read_bytes()
    record.unlink()
    project = shutil.copytree(run.parent, bench.folder / "copy" / "runs")
    record.write_bytes(kept)
    copy = project / run.name
    refused = bench.hpc("supervise", "--once", copy)
    assert refused.returncode == 1, refused
    assert f" {job} " in refused.stderr
    assert str(run) in refused.stderr
    assert str(run) in bench.hpc("status", copy).stdout
    # Beside the run, a copy is left out, and all else goes on.
    beside = shutil.copytree(run, run.with_name(f"{run.name}-copy"))
    for verb, *words in (("status",), ("gather",), ("supervise", "--once")):
        done = bench.hpc(verb, *words)
        assert done.returncode in (0, 3), done
        assert str(beside) in done.stdout
    (bench.scripts / "go").touch()
    assert bench.document("supervise")["posts_done"] == POSTS
    assert Counter(bench.asked()) == uris()


def failed_with_a_copy(bench: Bench) -> tuple[pathlib.Path, pathlib.Path]:
    """Return the folder of a run with two failed shards, and the folder of a copy of it."""
    for index in (0, 1):
        bench.script(index, "fail wait")
    source = posts.json_lines(bench.folder / "p.jsonl", POSTS)
    config = bench.config(source, sharding={"shards": 2})
    run = pathlib.Path(bench.document("submit", "--config", config)["run_dir"])
    failed = {0: ("failed", "crashed"), 1: ("failed", "crashed")}
    wait_for(lambda: bench.states() == failed, 90, "both shards failed")
    project = shutil.copytree(run.parent, bench.folder / "copy" / "runs")
    (project.parent / bench.scripts.name).symlink_to(bench.scripts)
    return run, project / run.name


def test_a_copy_that_submitted_between_look_and_submission_goes_first(bench: Bench) -> None:
    run, copy = failed_with_a_copy(bench)
    arrived, go_on = bench.folder / "arrived", bench.folder / "go-on"
    waits = bench.shim(
        "sbatch",
        f"touch {arrived}\nfor i in $(seq 900); do [ -e {go_on} ] && break; sleep 0.1; done",
    )
    log = bench.folder / "late.log"
    with bench.started("resubmit", run, log=log, env=waits) as late:
        wait_for(arrived.exists, 60, "the run has looked and calls sbatch")
        assert bench.hpc("resubmit", copy).returncode == 0
        (first,) = arrays(bench, run)
        go_on.touch()
        assert late.wait(120) == 1
    assert f" {first} " in log.read_text()
    assert arrays(bench, run) == {first}
    assert [path.name for path in (run / "submissions").iterdir()] == ["0001.json"]
    (bench.scripts / "go").touch()
    assert bench.document("supervise", copy)["posts_done"] == POSTS
    assert Counter(bench.asked()) == uris()


def test_of_two_copies_that_submit_together_only_the_first_goes_on(bench: Bench) -> None:
    run, copy = failed_with_a_copy(bench)
    waits = bench.shim(
        "sbatch",
        f"touch {bench.folder}/arrived-$$\n"
        f"for i in $(seq 900); do [ $(ls {bench.folder} | grep -c arrived-) = 2 ] && break; "
        "sleep 0.1; done",
    )
    with (
        bench.started("resubmit", run, env=waits) as mine,
        bench.started("resubmit", copy, env=waits) as theirs,
    ):
        assert sorted((mine.wait(120), theirs.wait(120))) == [0, 1]
    assert len(arrays(bench, run)) == 1
    (bench.scripts / "go").touch()
    goes_on = run if (run / "submissions" / "0002.json").exists() else copy
    assert bench.document("supervise", goes_on)["posts_done"] == POSTS
    assert Counter(bench.asked()) == uris()


def test_a_supervisor_whose_lock_was_removed_stops_before_it_acts(bench: Bench) -> None:
    """Both would resubmit the shard that fails."""
    run, _ = submitted(bench)
    for index in (0, 1, 2):
        bench.script(index, "")
    bench.script(3, "fail")
    log = bench.folder / "first.log"
    with bench.started("supervise", log=log) as first:
        wait_for(lambda: "running" in log.read_text(), 60, "it supervises")
        (run / ".lock").unlink()
        with bench.started("supervise", log=bench.folder / "second.log") as second:
            resubmit = bench.hpc("resubmit")
            assert resubmit.returncode in (0, 1, 3), resubmit
            (bench.scripts / "go").touch()
            assert (first.wait(120), second.wait(120)) == (1, 0)
    assert str(run / ".lock") in log.read_text()
    assert bench.document("status")["posts_done"] == POSTS
    assert [path.name for path in sorted((run / "submissions").iterdir())] == [
        "0001.json",
        "0002.json",
    ]
    assert Counter(bench.asked()) == uris()
