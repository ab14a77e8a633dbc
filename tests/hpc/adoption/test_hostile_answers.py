"""What another engine writes is checked row by row, and a wrong row lets nothing in."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hpc.adoption.engine import (
    EXTERNAL,
    Row,
    hand_over,
    label,
    rows_of,
    write_lines,
    write_parquet,
)
from tests.hpc.cli_bench import Bench
from tests.hpc.snapshot import Snapshot


@pytest.fixture(scope="module")
def handed_over(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    made = Bench(tmp_path_factory.mktemp("handed-over"))
    made.config(6, classifier=EXTERNAL)
    hand_over(made)
    return Snapshot(made)


@pytest.fixture
def bench(handed_over: Snapshot) -> Bench:
    """A project with a run of six posts that another engine is to label."""
    return handed_over.restore()


@pytest.fixture
def run(bench: Bench) -> Path:
    return bench.runs()[0]


def rejected(bench: Bench, run: Path) -> str:
    """Adopt, which has to be rejected as wrong input, and return the message."""
    before = bench.listing()
    done = bench.hpc("adopt", run / "answers")
    assert done.returncode == 2, done
    assert bench.listing() == before
    return done.stderr


WRONG: dict[str, Any] = {
    "toxic": ["true", 1, 0.0, [True], {"a": True}],
    "score": ["0.5", True, 1.01, -0.5, [0.5]],
    "side": ["LEFT", "", " left", 1, ["left"]],
    "stance": [0, 8, 2.5, "3", True, 10**30],
    "note": [1, True, ["a"], {"a": "b"}],
    "reason": [1, ["refusal"]],
    "uri": [None, "", "at://did:plc:nobody/app.bsky.feed.post/0", 7, ["a"]],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in WRONG.items() for v in values])
def test_a_wrong_value_in_json_names_its_file_and_row(
    bench: Bench, run: Path, name: str, value: object
) -> None:
    rows = label(run)
    rows[4] = {**rows[4], name: value}
    write_lines(run / "answers" / "deep" / "a.jsonl", list(rows))
    assert "deep/a.jsonl, row 5: " in rejected(bench, run)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("toxic", pa.array(["true"] * 6)),
        ("toxic", pa.array([1] * 6)),
        ("score", pa.array([float("nan")] * 6)),
        ("score", pa.array([float("inf")] * 6)),
        ("score", pa.array(["0.5"] * 6)),
        ("side", pa.array([b"left"] * 6)),
        ("stance", pa.array([2.5] * 6)),
        ("stance", pa.array([2**63] * 6, pa.uint64())),
        ("note", pa.array([["a"]] * 6)),
        ("note", pa.array([1] * 6)),
        ("uri", pa.array([1] * 6)),
        ("reason", pa.array([1] * 6)),
    ],
)
def test_a_wrong_type_in_parquet_names_its_file_and_row(
    bench: Bench, run: Path, name: str, column: pa.Array
) -> None:
    table = pa.Table.from_pylist(label(run))
    if name in table.column_names:
        table = table.drop_columns([name])
    pq.write_table(table.append_column(name, column), run / "answers" / "a.parquet")
    assert "a.parquet, row 1: " in rejected(bench, run)


def without(name: str) -> Callable[[Row], Row]:
    return lambda row: {key: value for key, value in row.items() if key != name}


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('{"uri": "x"', "b.jsonl"),
        ("[1]", "row 1: "),
        ('"uri"', "row 1: "),
        ("null", "row 1: "),
        ('{"uri": "\\ud800"}', "b.jsonl"),
        ('{"uri": "a", "uri": "a"}', "row 1: "),
        ('{"uri": ' + "[" * 5000 + "]" * 5000 + "}", "b.jsonl"),
        ("\0\0\0", "b.jsonl"),
    ],
)
def test_a_broken_line_names_its_file(bench: Bench, run: Path, line: str, place: str) -> None:
    write_lines(run / "answers" / "a.jsonl", list(label(run)))
    write_lines(run / "answers" / "b.jsonl", [line])
    assert place in rejected(bench, run)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", b""),
        ("a.parquet", b"PAR1 half a file"),
        ("a.parquet", b'{"uri": "a"}\n'),
        ("a.jsonl.gz", b'{"uri": "a"}\n'),
        ("a.jsonl.gz", gzip.compress(b'{"uri": "a"}\n' * 1000, mtime=0)[:-20]),
        ("a.jsonl", b'{"uri": "\xff\xfe"}\n'),
        ("a.jsonl", gzip.compress(b"{}", mtime=0)),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_named(
    bench: Bench, run: Path, name: str, content: bytes
) -> None:
    (run / "answers" / name).write_bytes(content)
    assert name in rejected(bench, run)


@pytest.mark.parametrize("name", ["uri", "toxic", "score", "side", "note"])
def test_a_parquet_file_without_a_column_is_rejected(bench: Bench, run: Path, name: str) -> None:
    write_parquet(run / "answers" / "a.parquet", list(map(without(name), label(run))))
    assert f"no column {name}" in rejected(bench, run)


@pytest.mark.parametrize("name", ["toxic", "score", "side", "note"])
def test_a_row_that_lacks_a_label_is_rejected(bench: Bench, run: Path, name: str) -> None:
    rows = label(run)
    write_lines(run / "answers" / "a.jsonl", [*rows[:-1], without(name)(rows[-1])])
    assert f"row 6: {name} is missing" in rejected(bench, run)


def test_contradictions_are_rejected_wherever_they_are(bench: Bench, run: Path) -> None:
    rows = label(run)
    other = {**rows[0], "note": "something else"}
    write_lines(run / "answers" / "a.jsonl", list(rows[:4]))
    write_parquet(run / "answers" / "b.parquet", [other])
    assert f"b.parquet, row 1: {rows[0]['uri']}" in rejected(bench, run)
    write_parquet(run / "answers" / "b.parquet", [rows[0]])
    assert bench.document("adopt", run / "answers", code=3)["repeated"] == 1
    write_parquet(run / "answers" / "b.parquet", [other])
    write_lines(run / "answers" / "a.jsonl", list(rows[1:3]))
    assert "outputs/00000.parquet" in rejected(bench, run)
    write_parquet(run / "answers" / "b.parquet", [{**rows[3], "score": 0.123}])
    assert "adopted before" in rejected(bench, run)
    write_lines(run / "answers" / "a.jsonl", [{**rows[5], "reason": "refusal"}])
    (run / "answers" / "b.parquet").unlink()
    assert "reason and labels" in rejected(bench, run)


def test_a_problem_of_many_files_is_named_once_with_the_first_of_them(
    bench: Bench, run: Path
) -> None:
    rows = [{**row, "stance": "pro"} for row in label(run)]
    for number in range(20):
        write_lines(run / "answers" / f"{number:02d}.jsonl", [*rows[:2], {"note": "no uri"}])
    message = rejected(bench, run)
    assert "60 problems" in message
    assert [line for line in message.splitlines() if "row 1" in line] == [
        f"    {number:02d}.jsonl, row 1: pro" for number in range(3)
    ]
    assert [line for line in message.splitlines() if "row 3" in line] == [
        "    00.jsonl, row 3; 01.jsonl, row 3; 02.jsonl, row 3"
    ]
    assert message.count("20 files: ") == 2


def test_unusable_files_with_the_same_fault_are_listed_together(bench: Bench, run: Path) -> None:
    for number in range(20):
        write_parquet(run / "answers" / f"{number:02d}.parquet", [{"uri": "a"}])
        (run / "answers" / f"{number:02d}.jsonl").write_text("{")
    message = rejected(bench, run)
    assert message.count("no column") == 1
    assert message.count("16 more files") == 2
    assert len(message.splitlines()) == 5


def test_a_message_about_many_rows_shows_some_and_counts_all(bench: Bench, run: Path) -> None:
    foreign = [{**label(run)[0], "uri": f"nobody-{number}\x1b[31m"} for number in range(1000)]
    write_lines(run / "answers" / "a.jsonl", list(foreign))
    message = rejected(bench, run)
    assert "1,000 problems" in message
    assert message.count("\n") < 30
    assert "\x1b" not in message


def test_what_holds_no_answers_is_named_or_skipped(bench: Bench, run: Path) -> None:
    answers = run / "answers"
    for name in ("_SUCCESS", ".part.parquet", "stats.json", "_temporary/0.parquet"):
        (answers / name).parent.mkdir(exist_ok=True)
        (answers / name).write_text("{")
    os.mkfifo(answers / "pipe.jsonl")
    assert "no file with answers" in rejected(bench, run)
    rows = [{**row, "thoughts": "hm", "meta": {"tokens": 5}} for row in label(run)]
    write_lines(answers / "a.jsonl", [*rows, "", {"uri": rows[0]["uri"]}])
    document = bench.document("adopt", answers)
    assert document["ignored_files"] == ["stats.json"]
    assert document["ignored_columns"] == ["meta", "thoughts"]
    assert document["empty"] == 1


def test_numbers_are_taken_as_other_programs_write_them(bench: Bench, run: Path) -> None:
    rows = label(run)
    table = pa.table(
        {
            "uri": pa.array([row["uri"] for row in rows]).dictionary_encode(),
            "toxic": [row["toxic"] for row in rows],
            "score": pa.array([0.5] * 6, pa.float32()),
            "side": pa.array([row["side"] for row in rows], pa.large_string()),
            "stance": pa.array([3.0, 1.0, None, 7.0, 2.0, 3.0]),
            "note": pa.array(["a"] * 6).dictionary_encode(),
        }
    )
    pq.write_table(table, run / "answers" / "a.parquet")
    bench.document("adopt", run / "answers")
    found = rows_of(bench)
    assert [found[row["uri"]]["stance"] for row in rows] == [3, 1, None, 7, 2, 3]
    assert {found[row["uri"]]["score"] for row in rows} == {0.5}


def test_a_run_whose_shards_have_changed_takes_no_answers(bench: Bench, run: Path) -> None:
    rows = label(run)
    write_parquet(run / "answers" / "a.parquet", rows)
    shard = run / "shards" / "00000.parquet"
    posts = pq.read_table(shard)
    changed = posts.set_column(1, posts.schema.field("text"), pa.array(["other"] * 3))
    pq.write_table(changed, shard)
    assert bench.hpc("adopt", run / "answers").returncode == 1
    shard.unlink()
    assert bench.hpc("adopt", run / "answers").returncode == 2
    assert not list((run / "outputs").iterdir())
