"""A task with Perspective publishes its rows, and the responses behind them."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.errors import Cause
from pipeline.run_files import heartbeat, last_words, output
from pipeline.run_files.manifest import Manifest, raw_path, work_path
from pipeline.run_files.output import PUBLICATION
from tests.pipeline import task_processes
from tests.pipeline.run_builders import make_run, order, posts
from tests.servers import perspective_answers as google
from tests.servers.perspective import Fault, PerspectiveServer, score, spans
from tests.waiting import wait_until

KEY = "AIzaSy-the-key-in-question-0123456789"
EMPTY = google.ServiceError(400, f"Empty, says {KEY}.", {"errorType": "COMMENT_EMPTY"}).reply.body
PAGE = "<html>Too large 🦋"


def classifier(server: PerspectiveServer, **options: Any) -> dict[str, Any]:
    return {**task_processes.perspective(server.url, 1), "keep_raw": True, **options}


def published(run_dir: Path, run: Manifest) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of the output, and of the file of responses that its footer names, for each uri."""
    check, table = output.read(run_dir, run, 0)
    assert table is not None, check.problem
    assert check.publication is not None
    raw = pq.read_table(raw_path(run_dir, 0, check.publication), partitioning=None)
    name = PUBLICATION.encode()
    assert raw.schema.metadata[name] == table.schema.metadata[name]
    assert list((run_dir / "raw").iterdir()) == [raw_path(run_dir, 0, check.publication)]
    return table.to_pylist(), raw.sort_by("uri").to_pylist()


def holding(folder: Path, secret: str) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if secret.encode() in path.read_bytes()]


def test_every_row_has_its_response_and_no_file_contains_the_key(tmp_path: Path) -> None:
    empty, large = "what a fine day 1", "what a fine day 2"
    rows = posts(6)
    rows[3] = rows[3]._replace(text="hm")

    def faults(text: str, _: int) -> Fault | None:
        return {empty: Fault(status=400, body=EMPTY), large: Fault(status=413, body=PAGE)}.get(text)

    with PerspectiveServer(key=KEY, faults=faults, unsupported=[("SPAM", "en")]) as server:
        options = classifier(server, attributes=["TOXICITY", "SPAM"], span_scores=True)
        run_dir, run = make_run(tmp_path, rows, classifier=options, checkpoint_rows=1)
        code, out, err = task_processes.run_forked(order(run_dir), TEST_KEY=KEY)
    assert (code, err) == (0, "")
    assert KEY not in out
    labels, responses = published(run_dir, run)
    assert [row["uri"] for row in labels] == [row["uri"] for row in responses]
    assert [row["label_timestamp"] for row in labels] == [r["label_timestamp"] for r in responses]
    for row, response in zip(labels, responses, strict=True):
        found = (row["reason"], row["prob_toxic"], row["prob_toxic_spans"])
        assert (row["prob_spam"], row["prob_spam_spans"]) == (None, None)
        if row["text"] == empty:
            assert found == ("comment_empty", None, None)
            assert json.loads(response["response"])["error"]["message"] == "Empty, says [key]."
        elif row["text"] == large:
            assert (*found, response["response"]) == ("http_413", None, None, PAGE)
        elif row["text"] == "hm":
            assert (*found, response["response"]) == ("text_too_short", None, None, None)
            assert row["attributes_not_supported"] is None
            continue
        else:
            (span,) = spans(row["text"], "TOXICITY")
            assert found == (None, score(row["text"], "TOXICITY"), f"[[0,{span[1]},{span[2]}]]")
            answer = json.loads(response["response"])
            assert answer["clientToken"] == row["uri"]
            assert answer["attributeScores"]["TOXICITY"]["summaryScore"]["value"] == found[1]
        assert row["attributes_not_supported"] == "SPAM"
    assert holding(tmp_path, KEY) == []
    assert KEY not in f"{labels}{responses}"  # what is compressed in the files


def test_the_responses_of_a_killed_attempt_are_kept_like_its_labels(tmp_path: Path) -> None:
    with PerspectiveServer(key=KEY, latency_s=0.2) as server:
        run_dir, run = make_run(
            tmp_path, posts(40), classifier=classifier(server), checkpoint_rows=1
        )
        first = task_processes.start(order(run_dir), TEST_KEY=KEY)
        wait_until(lambda: task_processes.rows_in(work_path(run_dir, 0)) >= 10, task=first)
        assert not (run_dir / "raw").exists()
        task_processes.kill(first)
        assert holding(run_dir, KEY) == []
        assert task_processes.run_forked(order(run_dir), TEST_KEY=KEY)[0] == 0
    labels, responses = published(run_dir, run)
    assert len(responses) == 40
    assert [json.loads(row["response"])["clientToken"] for row in responses] == [
        row["uri"] for row in labels
    ]


def test_without_keep_raw_no_responses_are_kept(tmp_path: Path) -> None:
    with PerspectiveServer(key=KEY) as server:
        options = classifier(server, keep_raw=False)
        run_dir, run = make_run(tmp_path, posts(3), classifier=options)
        assert task_processes.run_forked(order(run_dir), TEST_KEY=KEY)[0] == 0
    assert output.verify(run_dir, run, 0).verified
    assert not (run_dir / "raw").exists()


def test_the_end_of_the_service_stops_the_whole_run(
    tmp_path: Path,
) -> None:
    with PerspectiveServer(key=KEY, faults=lambda *_: Fault(status=410, body="gone")) as server:
        options = classifier(server)
        run_dir, _ = make_run(tmp_path, posts(9), shards=3, classifier=options)
        codes = [
            task_processes.run_forked(order(run_dir, index), TEST_KEY=KEY)[0] for index in range(3)
        ]
        assert (codes, server.requests) == ([1, 1, 1], 2)  # a post, and the fixed sentence
        url = server.url
    said = [last_words.read(run_dir, 1, index) for index in range(3)]
    first = (
        f"{url}/v1alpha1/comments:analyze: HTTP 410: gone: the service is not there: set "
        "classifier.base_url"
    )
    stopped = f"stopped at once: shard 0 was refused: {first}"
    assert [words and (words.cause, words.message, words.stops_run) for words in said] == [
        (Cause.REFUSED, first, True),
        (Cause.REFUSED, stopped, True),
        (Cause.REFUSED, stopped, True),
    ]


def test_the_heartbeat_says_that_the_service_lets_nothing_through(tmp_path: Path) -> None:
    with PerspectiveServer(key=KEY, faults=lambda *_: Fault(status=429, body="later")) as server:
        run_dir, _ = make_run(tmp_path, posts(3), classifier=classifier(server))
        task = task_processes.start(order(run_dir), TEST_KEY=KEY)

        def is_throttled() -> bool:
            beat = heartbeat.read(work_path(run_dir, 0), 1)
            return beat is not None and beat.throttled

        wait_until(is_throttled, task=task)
        task_processes.kill(task)
