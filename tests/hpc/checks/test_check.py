"""`hpc check` as a user meets it on this machine, and what a dry run shows of the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from hpc.checks.finding import Part
from hpc.checks.space import observe_disk
from hpc.planning import run_checks
from hpc.planning.run_checks import CHEAP
from tests.hpc.cli_bench import Bench, exit_code
from tests.hpc.database.held_database import held
from tests.servers.perspective import Fault, PerspectiveServer

KEY = "k3y-of-the-check"
VALENCE = {"type": "valence"}


@pytest.fixture
def server() -> Any:
    with PerspectiveServer(key=KEY) as running:
        yield running


def perspective(server: PerspectiveServer, **options: Any) -> dict[str, Any]:
    return {"type": "perspective", "base_url": server.url, **options}


def check(
    bench: Bench, *arguments: object, code: int = 0, env: dict[str, str] | None = None
) -> dict[str, list[dict[str, str]]]:
    """Return what the verb found, by part; nothing is left, and the key shows nowhere."""
    before = bench.listing()
    done = bench.hpc("check", "--config", bench.path, "--json", *arguments, env=env)
    assert exit_code(done) == code, done
    assert KEY not in done.stdout + done.stderr
    assert bench.listing() == before
    found: dict[str, list[dict[str, str]]] = {}
    for finding in json.loads(done.stdout):
        assert set(finding) == {"check", "level", "message", "remedy"}
        assert finding["remedy"] or finding["level"] == "ok" or finding["check"] == "configuration"
        found.setdefault(finding["check"], []).append(finding)
    return found


def levels(found: dict[str, list[dict[str, str]]], *but: str) -> dict[str, str]:
    """Return the parts that are not ok, with their level."""
    return {
        part: finding["level"]
        for part, findings in found.items()
        for finding in findings
        if finding["level"] != "ok" and part not in but
    }


def test_every_part_has_a_check() -> None:
    of_check_itself = {"CONFIGURATION", "SOURCE", "DATABASE", "POSTS", "REQUEST", "NODE", "NOTIFY"}
    assert {part.name for part in CHEAP} | of_check_itself == {part.name for part in Part}


def test_all_is_fine_here_and_there_is_no_node(bench: Bench) -> None:
    bench.config(posts=4, classifier=VALENCE)
    found = check(bench, "--node")
    assert levels(found) == {}
    assert {"request", "disk", "inodes", "run root", "database", "posts", "node"} <= set(found)


def test_how_much_room_posts_need_is_unknown_without_posts(bench: Bench) -> None:
    bench.config(posts=4, classifier=VALENCE)
    found = check(bench, "--set", "backlog.source=nowhere", code=2)
    assert levels(found) == {"source": "error"}
    assert not {"disk", "inodes"} & set(found)


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("name: a\n  backlog: {\n", 1),
        ("name: a\nname: b\n", 1),
        ("name: a\nbacklog: {source: p}\nclassifier: {type: valence}\n", 1),
        ("name: a\ncolor: red\nbacklog: {source: 3}\nclassifier: {type: valence}\n", 3),
    ],
    ids=["no YAML", "a key twice", "one problem", "three problems"],
)
def test_each_problem_of_a_configuration_is_one_error(bench: Bench, text: str, errors: int) -> None:
    bench.path.write_text(text)
    found = check(bench, code=2)
    assert [finding["level"] for finding in found["configuration"]] == ["error"] * errors
    assert all(str(bench.path) in finding["message"] for finding in found["configuration"])


def test_one_sentence_is_labeled_by_the_real_service_unless_nobody_wants_that(
    bench: Bench, server: PerspectiveServer
) -> None:
    bench.config(posts=4, classifier=perspective(server, quota_folder=str(bench.folder / "q")))
    env = {"PERSPECTIVE_API_KEY": KEY}
    assert levels(check(bench, env=env)) == {}
    assert server.requests == 1
    assert levels(check(bench, "--no-request", env=env)) == {}
    assert server.requests == 1


@pytest.mark.parametrize(
    ("key", "fault", "level"),
    [
        ("another-key", None, {"request": "error"}),
        (KEY, Fault(status=503), {"request": "error"}),
        (KEY, Fault(cut_connection=True), {"request": "error"}),
        (None, None, {"API key": "error", "request": "warning"}),
    ],
)
def test_a_service_that_does_not_label(
    bench: Bench,
    server: PerspectiveServer,
    key: str | None,
    fault: Fault | None,
    level: dict[str, str],
) -> None:
    bench.config(posts=4, classifier=perspective(server))
    if fault:
        server.faults = lambda text, nth: fault
    env = {"PERSPECTIVE_API_KEY": key} if key else {}
    assert levels(check(bench, code=1, env=env)) == level


def test_a_key_file_that_others_can_read_is_named_with_what_to_do(
    bench: Bench, server: PerspectiveServer
) -> None:
    file = bench.folder / "key"
    file.write_text(KEY)
    file.chmod(0o644)
    bench.config(posts=4, classifier=perspective(server, api_key_file=str(file)))
    found = check(bench, code=1)
    assert f"chmod 600 {file}" in found["API key"][0]["remedy"]
    assert server.requests == 0


def test_nothing_that_fails_hides_another_thing(bench: Bench, server: PerspectiveServer) -> None:
    (bench.folder / "labels.duckdb").write_bytes(b"no database" * 1000)
    bench.config(
        posts=4,
        classifier=perspective(server),
        backlog={"source": "absent.jsonl"},
        cluster={"python": "/absent/python"},
    )
    found = check(bench, code=2, env={"PERSPECTIVE_API_KEY": "wrong"})
    assert levels(found) == dict.fromkeys(("source", "database", "request", "python"), "error")


@pytest.mark.parametrize(
    "classifier",
    [
        {"type": "transformers", "model": "absent"},
        {
            "type": "llm", "model": "m", "prompt": "absent.txt", "base_url": "http://127.0.0.1:9/v1",
            "labels": [{"name": "civic", "type": "bool"}],
        },
    ],
)  # fmt: skip
def test_a_file_that_a_classifier_lacks_hides_no_other_check(
    bench: Bench, classifier: dict[str, Any]
) -> None:
    bench.config(posts=4, classifier=classifier, cluster={"python": "/absent/python"})
    found = check(bench, code=2)
    assert levels(found) == {"configuration": "error", "request": "warning", "python": "error"}
    assert {"source", "posts", "run root", "time"} <= found.keys()
    assert "absent" in found["configuration"][0]["message"]


@pytest.mark.parametrize(
    ("sections", "count"),
    [
        ({"classifier": {"type": "valenc"}}, 1),
        ({"sharding": {"shards": 0}, "cluster": {"max_parallel": -1}}, 2),
    ],
)
def test_a_wrong_configuration_exits_with_2_and_names_every_problem(
    bench: Bench, sections: dict[str, Any], count: int
) -> None:
    bench.config(posts=4, **{"classifier": VALENCE, **sections})
    found = check(bench, code=2)
    assert [len(found[part]) for part in found] == [count]


def test_a_configuration_that_is_not_there_leads_to_init(bench: Bench) -> None:
    done = bench.hpc("check", "--config", "absent.yaml", "--json")
    (finding,) = json.loads(done.stdout)
    assert exit_code(done) == 2
    assert "hpc init" in finding["remedy"]


def test_a_database_that_a_notebook_holds(bench: Bench) -> None:
    bench.config(posts=4, classifier=VALENCE)
    assert bench.submit().returncode == 0
    path = bench.folder / "labels.duckdb"
    with held(path, read_only=True):
        assert levels(check(bench, "--no-request")) == {"database": "warning", "posts": "warning"}
    with held(path, read_only=False):
        assert levels(check(bench, "--no-request", code=1)) == {"database": "error"}


def test_each_reason_why_posts_cannot_be_chosen_has_its_own_remedy(bench: Bench) -> None:
    def remedy(**backlog: Any) -> str:
        bench.config(posts=4, classifier=VALENCE, backlog=backlog)
        (finding,) = check(bench, code=2)["posts"]
        return finding["remedy"]

    assert remedy(columns={"text": "texts"}) == "set backlog.columns.text to text"
    assert remedy(columns={"uri": "number"}) == "correct backlog.columns.uri"
    bench.config(posts=4, classifier=VALENCE)
    assert exit_code(bench.submit()) == 0
    assert remedy(min_text_length=2) == (
        "give it another name, or label those posts again: "
        f"hpc submit --config {bench.path} --supersede"
    )


def test_a_run_root_that_everybody_can_write_to(bench: Bench) -> None:
    bench.config(posts=4, classifier=VALENCE)
    root = bench.folder / "runs"
    root.mkdir()
    root.chmod(0o777)
    assert levels(check(bench, "--no-request", code=1)) == {"run root": "error"}


def dry_run(bench: Bench, *arguments: object, code: int = 0) -> dict[str, Any]:
    before = bench.listing()
    done = bench.hpc("submit", "--config", bench.path, "--dry-run", "--json", *arguments)
    assert exit_code(done) == code, done
    assert bench.listing() == before
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_a_dry_run_needs_neither_a_key_nor_slurm(
    bench: Bench, server: PerspectiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(bench.folder))
    bench.config(
        posts=4, classifier=perspective(server), cluster={"executor": "slurm", "account": "kim"}
    )
    document = dry_run(bench)
    found = {each["check"]: each["level"] for each in document["checks"] if each["level"] != "ok"}
    assert found["API key"] == found["cluster"] == "warning"
    assert "error" not in found.values()
    assert "#SBATCH --account=kim\n" in document["script"]
    assert document["first_request"]["requestedAttributes"] == {"TOXICITY": {}}
    columns = {each["name"]: each["type"] for each in document["columns"]}
    assert columns["prob_toxic"] == "DOUBLE"
    assert server.requests == 0


def test_the_columns_of_a_dry_run_are_those_of_the_table(bench: Bench) -> None:
    bench.config(posts=4, classifier=VALENCE)
    planned = dry_run(bench)
    assert planned["script"] is None
    assert bench.submit().returncode == 0
    made = [(name, kind) for name, kind, *_ in bench.query("DESCRIBE labels_test")]
    assert [(each["name"], each["type"]) for each in planned["columns"]] == made


def test_a_quota_that_makes_shards_longer_than_their_limit_is_seen_in_the_plan(
    bench: Bench, server: PerspectiveServer
) -> None:
    bench.config(
        posts=600,
        classifier=perspective(server, requests_per_minute=60),
        sharding={"shards": 2},
        cluster={"executor": "slurm", "time_min": 5},
    )
    found = {each["check"]: each for each in dry_run(bench)["checks"]}
    assert found["time"]["level"] == "warning"
    assert "rows_per_shard to 125 or less" in found["time"]["remedy"]


def test_a_submit_is_rejected_before_its_posts_are_frozen_if_the_disk_is_full(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.config(posts=4, classifier=VALENCE)
    full = observe_disk(Path("/proc"))  # a file system without room
    monkeypatch.setattr(run_checks, "observe_disk", lambda path: full)
    done = bench.submit()
    assert exit_code(done) == 1
    assert bench.runs() == []


def test_the_disk_of_a_database_that_exists_is_named_by_its_folder(tmp_path: Path) -> None:
    database = tmp_path / "labels.duckdb"
    database.touch()
    seen = observe_disk(database)
    assert seen and seen.place == tmp_path


def test_what_a_task_on_this_machine_would_lack_is_looked_for_here(bench: Bench) -> None:
    """There is no node that --node could look at."""
    server = {"command": ["no-such-server", "--port", "{port}"]}
    (bench.folder / "prompt.txt").write_text("Is it civic?")
    labels = [{"name": "civic", "type": "bool"}]
    llm = {"type": "llm", "model": "m", "prompt": "prompt.txt", "labels": labels, "server": server}
    bench.config(posts=2, classifier=llm)
    (request,) = check(bench, code=1)["request"]
    assert (request["level"], "no-such-server" in request["message"]) == ("error", True)
