"""Each check is a judgement of what was observed: pure, and the same every time."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from hpc.checks.cluster import SeenCluster, judge_cluster, judge_resources, judge_script
from hpc.checks.database import SeenDatabase, judge_database
from hpc.checks.finding import Finding, Level, Part, error, ok, warning, worst
from hpc.checks.judge_node import MOST_SKEW_S, Expected, NodeOutcome, clock_skew, judge_node
from hpc.checks.key import judge_key
from hpc.checks.request import SeenRequest, judge_request
from hpc.checks.run_root import SeenFolder, judge_folder
from hpc.checks.space import SeenDisk, estimate_need, judge_disk, judge_inodes
from hpc.checks.time_limit import ShardTimes, judge_time
from hpc.executors.base import ResourceCheck
from hpc.executors.node_jobs import NO_FOLDER, NodeJobState, SubmissionTest
from hpc.run.cluster.resources import Cluster, ExecutorName, Resources
from hpc.run.model.attempts import Phase
from pipeline.classifiers.one_answer import OneAnswer
from pipeline.config.check import Problem
from pipeline.errors import Cause
from pipeline.model import Answer
from pipeline.run_files.node_report import NodeReport

ROOT = Path("/scratch/ana/runs")
EXPECTED = Expected(version="1.0", python="/env/bin/python", late_files_s=2.0, where="https://x/v1")
REPORT = NodeReport(
    stage="", node="n7", python="/env/bin/python", python_version="3.12.1", written_at=100.0,
    version="1.0", lock="held", free_bytes=1, free_inodes=1,
)  # fmt: skip
RUNNING = NodeJobState(phase=Phase.ACTIVE, words="RUNNING", node="n7")
ENDED = NodeJobState(phase=Phase.ENDED, words="COMPLETED", node="n7", exit_code=0)
CLUSTER = Cluster(
    executor=ExecutorName.SLURM, max_parallel=4, grace_seconds=2.0, poll_seconds=1.0,
    resources=Resources(partition="kellog"), caretaker=Resources(),
)  # fmt: skip


def levels(findings: list[Finding]) -> list[Level]:
    return [finding.level for finding in findings]


def outcome(report: NodeReport | None = REPORT, **values: object) -> NodeOutcome:
    made = NodeOutcome(root=ROOT, job=7, state=ENDED, report=report, seen_between=(99.0, 101.0))
    return replace(made, **values)  # type: ignore[arg-type]


def test_the_worst_finding_decides() -> None:
    fine, odd, bad = ok(Part.KEY, "a"), warning(Part.KEY, "b", "c"), error(Part.KEY, "d", "e")
    assert [worst(()), worst([fine]), worst([fine, odd]), worst([bad, odd])] == [
        Level.OK, Level.OK, Level.WARNING, Level.ERROR,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("report", "bad"),
    [
        ({}, []),
        ({"version": "0.9"}, [Level.WARNING]),
        ({"missing": "ImportError: No module named 'msgspec'"}, [Level.ERROR]),
        ({"lock": "free"}, [Level.WARNING]),
        ({"lock": "Function not implemented"}, [Level.WARNING]),
        ({"lacks": ("classifier.api_key_file: no", "classifier.model: no")}, [Level.ERROR] * 2),
        ({"gpus": ("GPU 0: L40S",)}, []),
        ({"gpu_problem": "there is no nvidia-smi"}, [Level.ERROR]),
        ({"labels": {"prob_toxic": 0.1}}, []),
        ({"reason": "invalid_answer"}, [Level.WARNING]),
        ({"error": "x port 443: Connection refused"}, [Level.ERROR]),
        ({"reached": "yes"}, []),
        ({"reached": "x port 443: timed out"}, [Level.ERROR]),
        ({"written_at": 101.0 + MOST_SKEW_S + 1}, [Level.WARNING]),
        ({"written_at": 97.0 - MOST_SKEW_S - 1}, [Level.WARNING]),
        ({"stage": "GPU"}, [Level.ERROR]),
    ],
)
def test_a_node_that_lacks_something(report: dict[str, object], bad: list[Level]) -> None:
    found = judge_node(outcome(NodeReport(**{**REPORT.to_json(), **report})), EXPECTED)
    assert found[0].level is Level.OK  # the report itself proves that the folder is shared
    assert [level for level in levels(found) if level is not Level.OK] == bad
    assert all(finding.remedy for finding in found if finding.level is not Level.OK)


def test_labels_from_a_node_have_as_many_digits_as_a_person_reads() -> None:
    labels = {"prob_toxic": 0.8731234567890123, "label": "yes", "n": 7}
    found = judge_node(outcome(NodeReport(**{**REPORT.to_json(), "labels": labels})), EXPECTED)
    assert any("prob_toxic 0.873, label yes, n 7" in each.message for each in found)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"refused": "Invalid qos"}, "Invalid qos"),
        ({"state": None, "trouble": "timed out"}, "timed out"),
        ({"state": NodeJobState(phase=Phase.WAITING, words="PENDING", reason="Resources")},
         "Resources"),
        ({"state": NodeJobState(phase=Phase.HELD, words="PENDING", reason="BadConstraints",
                                advice="change cluster.gres")}, "BadConstraints"),
        ({"state": structs.replace(ENDED, exit_code=NO_FOLDER)}, "does not see"),
        ({"log_end": "No module named 'pipeline'"}, "No module named 'pipeline'"),
        ({}, "left nothing in"),
    ],
)  # fmt: skip
def test_a_job_without_a_report_says_why(values: dict[str, object], word: str) -> None:
    (finding,) = judge_node(outcome(None, **values), EXPECTED)
    assert finding.level is Level.ERROR
    assert word in finding.message
    assert finding.remedy


@given(
    skew=st.floats(-1e6, 1e6),
    written=st.floats(0, 1e9),
    waited=st.floats(0, 100),
    late=st.floats(0, 120),
)
def test_no_skew_is_reported_that_is_not_there(
    skew: float, written: float, waited: float, late: float
) -> None:
    """A file is written between two looks, or shows up late; the node's clock is `skew` ahead."""
    between = (written + late - waited, written + late)
    found = clock_skew(written + skew, between, late)
    assert abs(found) <= abs(skew) + 1e-3
    assert found * skew >= 0


@given(
    shards=st.integers(1, 10_000),
    posts=st.integers(1, 1_000_000),
    parallel=st.integers(1, 200),
    limit=st.integers(1, 10_000),
    startup=st.floats(0, 100),
    asking=st.none() | st.floats(1e-4, 1e6),
    is_by_quota=st.booleans(),
)
def test_a_shard_that_needs_longer_than_its_limit_is_a_warning(
    shards: int,
    posts: int,
    parallel: int,
    limit: int,
    startup: float,
    asking: float | None,
    is_by_quota: bool,
) -> None:
    taken = None if asking is None else startup + asking
    times = ShardTimes(
        shards=shards, posts=posts, parallel=parallel, limit_min=limit, partition_min=None,
        startup_min=startup, shard_min=taken, is_by_quota=is_by_quota,
    )  # fmt: skip
    (finding,) = judge_time(times, has_limits=True)
    if taken is not None and taken > limit:
        assert finding.level is Level.WARNING
        assert finding.remedy
    if taken is None or taken < limit * 0.83:
        assert finding.level is Level.OK
    assert judge_time(times, has_limits=False)[0].level is Level.OK


def test_a_longer_limit_is_advised_only_if_the_partition_allows_it() -> None:
    times = ShardTimes(
        shards=4, posts=10_000, parallel=4, limit_min=60, partition_min=120, startup_min=0.0,
        shard_min=10_000 / 60, is_by_quota=False,
    )  # fmt: skip
    assert "cluster.time" not in judge_time(times, has_limits=True)[0].remedy
    generous = replace(times, partition_min=600)
    assert "cluster.time to 3:20:00" in judge_time(generous, has_limits=True)[0].remedy


def test_an_advised_size_fits_into_the_limit_with_its_start_up() -> None:
    times = ShardTimes(
        shards=4, posts=1_000, parallel=4, limit_min=60, partition_min=60, startup_min=10.0,
        shard_min=10.0 + 1_000 / 10, is_by_quota=False,
    )  # fmt: skip
    # 60 min, less a sixth to spare, less 10 min of start-up, at 10 posts/min
    assert "sharding.rows_per_shard to 400 or less" in judge_time(times, has_limits=True)[0].remedy


@given(posts=st.integers(0, 50_000_000), shards=st.integers(0, 10_000), free=st.integers(0, 2**44))
def test_less_room_is_never_better(posts: int, shards: int, free: int) -> None:
    need = estimate_need(posts=posts, shards=shards, keeps_raw=False)
    order = [Level.OK, Level.WARNING, Level.ERROR]

    def level(bytes_free: int, files_free: int) -> tuple[int, int]:
        disk = SeenDisk(place=ROOT, device=1, free_bytes=bytes_free, free_files=files_free)
        found = judge_disk(need, disk, disk, has_quota=False)
        return order.index(worst(found)), order.index(
            worst(judge_inodes(need, disk, has_quota=False))
        )

    more, less = level(free, free), level(free // 2, free // 2)
    assert less >= more
    assert level(0, 0) == (2 if posts else 0, 2)


def test_a_run_and_its_labels_on_one_disk_need_room_together() -> None:
    need = estimate_need(posts=1_000_000, shards=10, keeps_raw=True)
    one = SeenDisk(place=ROOT, device=1, free_bytes=10**12, free_files=None)
    other = replace(one, device=2)
    assert len(judge_disk(need, one, one, has_quota=False)) == 1
    assert len(judge_disk(need, one, other, has_quota=True)) == 2
    assert levels(judge_inodes(need, one, has_quota=False)) == [Level.OK]
    assert levels(judge_disk(need, None, one, has_quota=False)) == [Level.OK]


FOLDER = SeenFolder(root=ROOT, exists=True, file_system="lustre")


@pytest.mark.parametrize(
    ("seen", "level"),
    [
        (FOLDER, Level.OK),
        (replace(FOLDER, exists=False), Level.OK),
        (replace(FOLDER, file_system="tmpfs"), Level.WARNING),
        (replace(FOLDER, distrust="everybody can write to it"), Level.ERROR),
        (replace(FOLDER, write_problem="No space left"), Level.ERROR),
    ],
)
def test_the_run_root(seen: SeenFolder, level: Level) -> None:
    assert levels(judge_folder(seen, has_nodes=True, is_proven=False)) == [level]


def test_a_local_disk_is_no_problem_without_nodes_or_if_a_node_looks_at_it() -> None:
    local = replace(FOLDER, file_system="ext4")
    assert levels(judge_folder(local, has_nodes=False, is_proven=False)) == [Level.OK]
    assert levels(judge_folder(local, has_nodes=True, is_proven=True)) == [Level.OK]


DATABASE = SeenDatabase(path=ROOT / "labels.duckdb", exists=True)


@pytest.mark.parametrize(
    ("seen", "level"),
    [
        (DATABASE, Level.OK),
        (replace(DATABASE, exists=False), Level.OK),
        (replace(DATABASE, held_by="python (pid 7)"), Level.WARNING),
        (replace(DATABASE, held_by="python (pid 7)", is_held=True), Level.ERROR),
        (replace(DATABASE, is_newer_format=True), Level.WARNING),
        (replace(DATABASE, problem="version number 99", is_unusable=True), Level.ERROR),
        (replace(DATABASE, problem="not a database of this program"), Level.ERROR),
    ],
)
def test_the_database(seen: SeenDatabase, level: Level) -> None:
    (finding,) = judge_database(seen)
    assert finding.level is level
    assert bool(finding.remedy) is (level is not Level.OK)


def test_the_key_is_missing_where_it_should_be() -> None:
    lack = Problem("a.yaml", "classifier.api_key_env", "is not set", is_lack=True, advice="set it")
    assert judge_key({"api_key_env": "KEY"}, [lack])[0].message.endswith("is not set")
    given_env: dict[str, object] = {"api_key_env": "KEY"}
    assert levels(judge_key(given_env, [lack])) == [Level.ERROR]
    assert levels(judge_key(given_env, [lack], level=Level.WARNING)) == [Level.WARNING]
    assert [levels(judge_key(each, [])) for each in ({}, given_env, {"api_key_file": "k"})] == [
        [Level.OK]
    ] * 3


ANSWER = Answer("at://x", {"civic": True})


@pytest.mark.parametrize(
    ("seen", "level"),
    [
        ({"result": OneAnswer(answer=ANSWER)}, Level.OK),
        ({"result": OneAnswer(answer=Answer("at://x", reason="invalid_answer"))}, Level.WARNING),
        ({"result": OneAnswer(error="429", cause=Cause.THROTTLED)}, Level.WARNING),
        ({"result": OneAnswer(error="401: bad key", cause=Cause.REFUSED)}, Level.ERROR),
        ({"result": OneAnswer(error="no answer in 30 s")}, Level.ERROR),
        ({"is_skipped": True}, Level.OK),
        ({"lacks_key": True}, Level.WARNING),
        ({"starts_slowly": True}, Level.OK),
        ({"starts_slowly": True, "missing": ()}, Level.OK),
        ({"starts_slowly": True, "missing": ("server.command: there is no vllm",)}, Level.ERROR),
    ],
)
def test_one_request(seen: dict[str, object], level: Level) -> None:
    values = {"where": "https://x/v1", "starts_slowly": False, **seen}
    assert levels(judge_request(SeenRequest(**values))) == [level]  # type: ignore[arg-type]


SEEN = SeenCluster(runs_on_nodes=True, array_size=1001, test=SubmissionTest(is_accepted=True))
REFUSED = SubmissionTest(is_accepted=False, words="Invalid partition name specified")


def test_sbatch_decides_about_a_partition_that_sinfo_does_not_show() -> None:
    note = ResourceCheck(note="sinfo shows no partition kellog (did you mean 'kellogg'?)")
    hidden = replace(SEEN, resources=note)
    assert levels(judge_resources(hidden, CLUSTER)) == [Level.WARNING]
    wrong = replace(hidden, test=REFUSED)
    assert judge_resources(wrong, CLUSTER) == []
    (finding,) = judge_script(wrong)
    assert finding.level is Level.ERROR
    assert "kellogg" in finding.remedy


def test_a_cluster_that_does_not_answer_is_one_line() -> None:
    dead = SeenCluster(runs_on_nodes=True, trouble="Unable to contact slurm controller")
    assert levels(judge_cluster(dead, CLUSTER)) == [Level.ERROR]
    assert judge_resources(dead, CLUSTER) + judge_script(dead) == []


def test_a_limit_of_submitted_jobs_is_no_error() -> None:
    limit = structs.replace(REFUSED, is_limit=True)
    assert levels(judge_script(replace(SEEN, test=limit))) == [Level.WARNING]
    assert levels(judge_script(replace(SEEN, test=REFUSED))) == [Level.ERROR]
    assert levels(judge_script(SEEN)) == [Level.OK]
