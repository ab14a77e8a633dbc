"""`hpc try`: answers side by side, with gold labels, errors and interruptions; nothing is kept."""

import json
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.hpc.cli_bench import Bench, ended, exit_code, outcome
from tests.pipeline import run_builders, scripted_classifier
from tests.servers.http import Reply
from tests.servers.openai_stub import OpenAIStub, completion, error
from tests.waiting import wait_until

VALENCE = {"type": "valence"}
STAMP = "2024-05-31-13:00:00"


def says_hostile(body: dict[str, Any], nth: int) -> Reply:
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    return completion('{"hostile": true}', usage=usage)


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIStub]:
    with OpenAIStub(says_hostile) as running:
        yield running


def write(bench: Bench, file: str, classifier: dict[str, Any], **sections: Any) -> str:
    """Write a configuration about the backlog of the bench."""
    values = {
        "name": Path(file).stem,
        "backlog": {"source": "posts.jsonl"},
        "classifier": classifier,
        "cluster": {"executor": "local"},
        **sections,
    }
    (bench.folder / file).write_text(yaml.safe_dump(values))
    return file


def llm(bench: Bench, stub: OpenAIStub, **more: Any) -> dict[str, Any]:
    (bench.folder / "prompt.txt").write_text("Is the post hostile?")
    return {
        "type": "llm", "base_url": stub.base_url, "model": "tiny", "prompt": "prompt.txt",
        "structured_output": "json_schema", "labels": [{"name": "hostile", "type": "bool"}],
        "price": {"prompt": 1, "completion": 2}, **more,
    }  # fmt: skip


def files(bench: Bench) -> set[Path]:
    return set(bench.folder.rglob("*"))


def test_answers_stand_side_by_side_and_nothing_is_kept(bench: Bench, server: OpenAIStub) -> None:
    bench.backlog(run_builders.posts(12))
    first = write(bench, "first.yaml", VALENCE)
    second = write(bench, "second.yaml", VALENCE)
    third = write(bench, "third.yaml", llm(bench, server))
    before = files(bench)
    document = bench.document("try", first, second, third, "--posts", 4)
    assert files(bench) == before
    assert len(document["posts"]) == 4
    for post in document["posts"]:
        answers = post["answers"]
        assert answers["first"] == answers["second"]
        assert answers["third"]["labels"]["hostile"] is True
    llm_use = document["configurations"][2]
    assert llm_use["counts"] == {"llm_prompt_tokens": 400, "llm_completion_tokens": 40}
    assert llm_use["cost"] == pytest.approx((400 * 1 + 40 * 2) / 1e6)
    assert [(one["a"], one["b"], one["label"], one["posts"], one["value"])
            for one in document["agreements"]] == [
        ("first", "second", "compound", 4, 0.0), ("first", "second", "valence_label", 4, 1.0),
    ]  # fmt: skip


def test_labels_that_have_no_room_are_named_once(bench: Bench) -> None:
    names = [f"label_{number}" for number in range(10)]
    answer = json.dumps(dict.fromkeys(names, True))
    bench.backlog(run_builders.posts(3))
    labels = [{"name": name, "type": "bool"} for name in names]
    with OpenAIStub(lambda body, nth: completion(answer)) as server:
        config = write(bench, "many.yaml", llm(bench, server, labels=labels, price=None))
        shown = bench.hpc("try", config, "--posts", 2).stdout
    assert [shown.count(f"{name} true") for name in names] == [2] * 8 + [0] * 2
    assert [shown.count(name) for name in names[8:]] == [1, 1]


def test_gold_labels_choose_the_posts_and_are_compared(bench: Bench) -> None:
    bench.backlog(run_builders.posts(6))
    gold = write(bench, "gold.yaml", VALENCE, name="gold_anna")
    assert exit_code(bench.hpc("submit", "--config", gold, "--limit", 3)) == 0
    tried = write(bench, "tried.yaml", VALENCE)
    document = bench.document("try", tried, "--gold", "gold_anna")
    assert sorted(post["uri"] for post in document["posts"]) == [
        run_builders.uri(number) for number in range(3)
    ]
    assert [post["gold"]["compound"] for post in document["posts"]] == [
        post["answers"]["tried"]["labels"]["compound"] for post in document["posts"]
    ]
    assert [(one["a"], one["label"], one["posts"], one["value"])
            for one in document["agreements"]] == [
        ("gold_anna", "compound", 3, 0.0), ("gold_anna", "valence_label", 3, 1.0),
    ]  # fmt: skip


def test_a_configuration_that_fails_does_not_hide_the_others_answers(bench: Bench) -> None:
    bench.backlog(run_builders.posts(3))
    rejected = Reply(status=401, body=error("Incorrect API key.", "invalid_api_key"))
    with OpenAIStub(lambda body, nth: rejected) as server:
        bad = write(bench, "bad.yaml", llm(bench, server))
        good = write(bench, "good.yaml", VALENCE)
        document = bench.document("try", bad, good, code=1)
    assert all(post["answers"]["bad"] is None for post in document["posts"])
    assert all(post["answers"]["good"]["labels"] for post in document["posts"])
    bad_use, good_use = document["configurations"]
    assert "401" in bad_use["error"]
    assert (bad_use["answered"], good_use["answered"], good_use["error"]) == (0, 3, None)


def scripted(bench: Bench, **more: Any) -> str:
    """Write a configuration for a classifier that does what `more` says."""
    with (bench.site / "scripted-1.dist-info" / "entry_points.txt").open("a") as entries:
        entries.write("plain = tests.pipeline.scripted_classifier:Scripted\n")
    options = scripted_classifier.options(bench.folder, **more)
    return write(bench, "scripted.yaml", {**options, "type": "plain"})


@pytest.mark.parametrize(
    ("script", "answered"),
    [("leak", 2), ("twice", 3), ("missing", 4), ("unknown", 2), ("columns_of_another", 2)],
)
def test_a_classifier_that_breaks_its_protocol_has_failed_and_its_key_is_not_shown(
    bench: Bench, script: str, answered: int
) -> None:
    bench.backlog(run_builders.posts(6))
    done = bench.hpc("try", scripted(bench, script=script), "--json")
    assert exit_code(done) == 1
    (use,) = json.loads(done.stdout)["configurations"]
    assert use["error"]
    assert use["answered"] == answered
    assert scripted_classifier.KEY not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("deadly", "said"), [("raise", "this post is deadly"), ("leave", "the library ended")]
)
def test_an_error_of_unknown_cause_ends_one_configuration_and_debug_says_where(
    bench: Bench, deadly: str, said: str
) -> None:
    bench.backlog(run_builders.posts(3))
    bad = scripted(bench, deadly={run_builders.uri(number): deadly for number in range(3)})
    good = write(bench, "good.yaml", VALENCE)
    done = bench.hpc("try", bad, good, "--json", "--debug")
    assert done.returncode == 1
    bad_use, good_use = json.loads(done.stdout)["configurations"]
    assert said in bad_use["error"]
    assert (bad_use["answered"], good_use["answered"]) == (0, 3)
    assert "scripted_classifier.py" in done.stderr


def test_debug_shows_no_key(bench: Bench) -> None:
    bench.backlog(run_builders.posts(6))
    done = bench.hpc("try", scripted(bench, script="leak"), "--debug")
    assert "Traceback" in done.stderr
    assert scripted_classifier.KEY not in done.stdout + done.stderr


WRONG = {
    "too many posts": ["valence.yaml", "--posts", 201],
    "twice the same": ["valence.yaml", "./valence.yaml"],
    "other posts": ["valence.yaml", "elsewhere.yaml"],
    "other columns": ["valence.yaml", "columns.yaml"],
    "a server of its own": ["server.yaml"],
    "no such gold labels": ["valence.yaml", "--gold", "gold_ana"],
    "a database for nothing": ["valence.yaml", "--database", "labels.duckdb"],
    "no such key": ["valence.yaml", "--set", "classifier.colour=red"],
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG)
def test_what_cannot_be_tried_is_an_error_before_anything_is_sent(
    bench: Bench, server: OpenAIStub, arguments: list[object]
) -> None:
    bench.backlog(run_builders.posts(3))
    (bench.folder / "more.jsonl").write_bytes((bench.folder / "posts.jsonl").read_bytes())
    write(bench, "valence.yaml", VALENCE)
    write(bench, "elsewhere.yaml", VALENCE, backlog={"source": "more.jsonl"})
    columns = {"source": "posts.jsonl", "columns": {"text": "uri"}}
    write(bench, "columns.yaml", VALENCE, backlog=columns)
    own = llm(bench, server, server={"command": ["serve", "--port", "{port}"]})
    write(bench, "server.yaml", {name: one for name, one in own.items() if name != "base_url"})
    assert exit_code(bench.hpc("try", *arguments)) == 2


def test_the_named_overrides_let_two_configurations_read_the_first_ones_posts(
    bench: Bench,
) -> None:
    (bench.folder / "study one").mkdir()
    for name in ("a", "b"):
        rows = [{"id": f"{name}{row}", "text": f"Good morning, {name}{row}!",
                 "lang": lang, "at": STAMP}
                for row, lang in enumerate(("en", "de", "fr"))]  # fmt: skip
        (bench.folder / "study one" / f"{name}.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows)
        )
    bench.backlog(run_builders.posts(3))
    columns = {"uri": "id", "preprocessing_timestamp": "at"}
    backlog = {"source": "study one/*.jsonl", "columns": columns, "where": "lang IN ('en', 'de')"}
    other_backlog = {"source": "posts.jsonl", "min_text_length": 2}
    first = write(bench, "first.yaml", VALENCE, backlog=backlog)
    other = write(bench, "other.yaml", VALENCE, backlog=other_backlog)
    refused = bench.hpc("try", first, other)
    assert exit_code(refused) == 2
    words = shlex.split(refused.stderr.partition(" add ")[2])
    assert words[::2] == ["--set"] * (len(words) // 2)
    document = bench.document("try", first, other, *words)
    assert {post["uri"] for post in document["posts"]} == {"a0", "a1", "b0", "b1"}


def test_a_hostile_text_cannot_control_the_terminal(bench: Bench) -> None:
    bench.backlog([post._replace(text="\x1b[2J\x1b]0;gone\x07 \u202eabc\nvalence: 9 of 9 labeled")
                   for post in run_builders.posts(1)])  # fmt: skip
    done = bench.hpc("try", write(bench, "valence.yaml", VALENCE))
    assert outcome(done) == (0, "")
    assert not {"\x1b", "\x07", "\u202e"} & set(done.stdout)
    assert "\nvalence: 9 of 9" not in done.stdout


def test_ctrl_c_shows_what_has_come(bench: Bench) -> None:
    bench.backlog(run_builders.posts(6))
    complaint = "HTTP 503 for a minute"
    process = bench.start(
        "try",
        scripted(bench, answered=2, complaint=complaint),
        write(bench, "later.yaml", VALENCE),
        "--json",
    )
    wait_until(lambda: len(bench.asked()) == 3, "the third post was asked", task=process)
    process.send_signal(signal.SIGINT)
    done = ended(process)
    assert exit_code(done) == 130
    document = json.loads(done.stdout)
    assert document["interrupted"]
    (use,) = document["configurations"]
    assert use["answered"] == 2
    assert complaint in use["error"]
