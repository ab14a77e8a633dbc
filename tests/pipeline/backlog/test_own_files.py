"""What this program has written is never part of a backlog."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.backlog.left_out import WhyLeftOut
from pipeline.backlog.sources import Source
from pipeline.errors import InputError
from pipeline.run_files import sample_file, score_map
from pipeline.run_files.sample_file import Sample, Stratum
from pipeline.run_files.score_map import ColumnMap, ScoreMap
from tests.pipeline.backlog.source_files import (
    STAMP,
    csv_file,
    duckdb_file,
    find,
    json_lines_file,
    parquet_file,
)

ROWS = [("u1", "hello", STAMP)]
RUN_ID = "20240531T130000-t-0123abcd"


def left_out(source: Source) -> dict[Path, WhyLeftOut]:
    return {each.path: each.why for each in source.left_out}


def run_folder(folder: Path, *, manifest: str = "manifest.json") -> Path:
    """A run's folder as far as it matters here."""
    parquet_file(folder / "shards" / "00000.parquet", ROWS)
    parquet_file(folder / "outputs" / "00000.parquet", ROWS)
    json_lines_file(folder / "logs" / "packed.jsonl", ROWS)
    (folder / manifest).write_text(json.dumps({"format": 2, "run_id": RUN_ID, "name": "t"}))
    return folder


@pytest.mark.parametrize("pattern", ["", "**/*.parquet", "**/*", "*/*/*/*.parquet"])
@pytest.mark.parametrize(
    "place",
    [
        f"runs/{RUN_ID}",
        f"elsewhere/deep/{RUN_ID}",
        f"runs/{RUN_ID} (copy)",
        "runs/renamed",
    ],
)
def test_the_folder_of_a_run_is_never_a_source_wherever_it_lies(
    tmp_path: Path, pattern: str, place: str
) -> None:
    posts = parquet_file(tmp_path / "2024" / "05" / "31" / "posts.parquet", ROWS)
    run = run_folder(tmp_path / place)
    source = find(tmp_path / pattern)
    assert source.files == (posts,)
    assert left_out(source) in ({run: WhyLeftOut.RUN}, {})


def test_a_run_that_was_set_aside_or_lost_its_manifest_is_no_source(tmp_path: Path) -> None:
    posts = parquet_file(tmp_path / "posts.parquet", ROWS)
    aside = run_folder(tmp_path / "runs" / "set-aside" / "x", manifest="manifest.json.set-aside")
    lost = run_folder(tmp_path / "runs" / RUN_ID)
    (lost / "manifest.json").unlink()
    run_folder(tmp_path / "runs" / f".planning-{RUN_ID}")
    source = find(tmp_path)
    assert source.files == (posts,)
    assert left_out(source) == dict.fromkeys([aside, lost], WhyLeftOut.RUN)


def test_posts_beside_runs_are_read(tmp_path: Path) -> None:
    """The run root may be the folder of the posts as well."""
    posts = parquet_file(tmp_path / "posts.parquet", ROWS)
    run_folder(tmp_path / RUN_ID)
    assert find(tmp_path).files == (posts,)


def test_a_manifest_of_another_program_does_not_hide_posts(tmp_path: Path) -> None:
    posts = parquet_file(tmp_path / "export" / "shards" / "posts.parquet", ROWS)
    (tmp_path / "export" / "manifest.json").write_text('{"entries": []}\n')
    assert find(tmp_path, ignore=("export/*.json",)).files == (posts,)


@pytest.mark.parametrize("inside", ["", "outputs", "outputs/*.parquet", "outputs/00000.parquet"])
def test_what_is_in_a_run_is_rejected_as_a_source(tmp_path: Path, inside: str) -> None:
    run = run_folder(tmp_path / "renamed")
    with pytest.raises(InputError, match=str(run)):
        find(run / inside)


def test_the_labels_database_and_what_lies_beside_it_are_no_source(tmp_path: Path) -> None:
    posts = parquet_file(tmp_path / "posts.parquet", ROWS)
    database = duckdb_file(tmp_path / "labels.duckdb", ROWS)
    beside = [
        "labels.duckdb.wal",
        "labels.duckdb.replaced-20240531T130000",
        "labels.duckdb.replaced-20240531T130000-2.wal",
        "labels.duckdb.rebuilding-0123abcd",
    ]
    for name in beside:
        shutil.copy(database, tmp_path / name)
    source = find(tmp_path, database=database)
    assert source.files == (posts,)
    assert left_out(source) == dict.fromkeys(
        [database, *(tmp_path / name for name in beside)], WhyLeftOut.DATABASE
    )
    with pytest.raises(InputError):
        find(database, database=database)


def test_the_labels_database_of_another_study_is_no_source(tmp_path: Path) -> None:
    posts = parquet_file(tmp_path / "posts.parquet", ROWS)
    other = tmp_path / "other.duckdb"
    with duckdb.connect(str(other)) as connection:
        for table in ("runs", "shards", "attempts", "labels_t"):
            connection.execute(f"CREATE TABLE {table} (uri VARCHAR)")
    source = find(tmp_path)
    assert source.files == (posts,)
    assert left_out(source) == {other: WhyLeftOut.LABELS}


def test_exported_labels_are_read_only_if_they_are_named(tmp_path: Path) -> None:
    posts = csv_file(tmp_path / "posts.csv", ROWS)
    columns = ["uri", "text", "preprocessing_timestamp", "was_successfully_labeled", "reason"]
    columns += ["label_timestamp", "compound"]
    text = tmp_path / "labels.csv"
    text.write_text(",".join(columns) + "\n" + f"u1,hello,{STAMP},true,,,\n")
    table = tmp_path / "labels.parquet"
    pq.write_table(pa.table({name: ["x"] for name in columns}), table)
    lines = tmp_path / "labels.jsonl"
    lines.write_text("{" + ", ".join(f'"{name}": "x"' for name in columns) + "}\n")
    exports = [text, table, lines]
    source = find(tmp_path)
    assert source.files == (posts,)
    assert left_out(source) == dict.fromkeys(exports, WhyLeftOut.LABELS)
    assert [find(path).files for path in exports] == [(path,) for path in exports]


def test_a_post_about_columns_of_labels_is_a_post(tmp_path: Path) -> None:
    text = 'what is "label_timestamp": 1, and "was_successfully_labeled": true?'
    posts = json_lines_file(tmp_path / "posts.jsonl", [("u1", text, STAMP)])
    assert find(tmp_path).files == (posts,)


def test_a_note_of_this_program_beside_its_runs_is_not_reported(tmp_path: Path) -> None:
    posts = csv_file(tmp_path / "posts.csv", ROWS)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / ".late-posts-t.json").write_text('{"late": 1}\n')
    source = find(tmp_path)
    assert (source.files, source.left_out) == ((posts,), ())


@pytest.mark.parametrize("length", [5, 100_000])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_labels_as_json_lines_are_read_only_if_they_are_named(
    tmp_path: Path, length: int, compress: Callable[[bytes], bytes]
) -> None:
    posts = csv_file(tmp_path / "posts.csv", ROWS)
    row = {"uri": "u1", "text": "x" * length, "preprocessing_timestamp": STAMP}
    labels = row | {"was_successfully_labeled": True, "label_timestamp": STAMP}
    exported = tmp_path / "labels.jsonl"
    exported.write_bytes(compress(json.dumps(labels).encode() + b"\n"))
    source = find(tmp_path)
    assert (source.files, left_out(source)) == ((posts,), {exported: WhyLeftOut.LABELS})
    assert find(exported).files == (exported,)


def test_posts_that_quote_labels_are_read(tmp_path: Path) -> None:
    quote = json.dumps({"was_successfully_labeled": True, "label_timestamp": STAMP})
    posts = json_lines_file(tmp_path / "posts.jsonl", [("u1", quote, STAMP)])
    assert find(tmp_path).files == (posts,)


def test_what_a_database_keeps_beside_itself_is_part_of_it(tmp_path: Path) -> None:
    database = duckdb_file(tmp_path / "posts.duckdb", ROWS)
    for name in (
        "posts.duckdb.wal",
        "posts.duckdb-wal",
        "posts.duckdb-shm",
        "posts.duckdb-journal",
    ):
        (tmp_path / name).write_bytes(b"\x01\0\0\0")
    source = find(tmp_path)
    assert (source.files, source.left_out) == ((database,), ())


def test_a_sample_is_no_part_of_a_backlog_and_posts_with_probabilities_are(tmp_path: Path) -> None:
    posts = parquet_file(tmp_path / "posts.parquet", ROWS)
    table = pq.read_table(posts)
    probabilities = pa.array([0.5] * table.num_rows)
    pq.write_table(table.append_column("inclusion_probability", probabilities), posts)
    drawn = Sample(
        sample="drawn",
        kind="submit",
        name="t",
        seed=1,
        size=1,
        population=2,
        strata=(Stratum(stratum="all", population=2, size=1),),
        drawn_at="2026-11-30T12:00:00+00:00",
        source="posts.parquet",
    )
    rows = pa.table(
        {"uri": ["u1"], "stratum": ["all"], "inclusion_probability": [0.5], "posts": [1]},
        schema=sample_file.SCHEMA,
    )
    sample = sample_file.write(tmp_path, drawn, rows)
    source = find(tmp_path / "**/*.parquet")
    assert source.files == (posts,)
    assert left_out(source) == {sample: WhyLeftOut.SAMPLE}


def test_a_map_is_no_part_of_a_backlog_and_posts_in_a_folder_of_that_name_are(
    tmp_path: Path,
) -> None:
    posts = json_lines_file(tmp_path / "maps" / "posts.json", ROWS)
    made = ScoreMap(
        name="b_as_a",
        a="a",
        b="b",
        method=score_map.ISOTONIC,
        sample=None,
        fitted_at="2026-11-30T12:00:00+00:00",
        program_version="1",
        config_hashes_of_a=("h",),
        config_hashes_of_b=("h",),
        columns=(ColumnMap(a="x", b="x", posts=100, knots=((0.0, 0.0), (1.0, 1.0))),),
    )
    score_map.write(tmp_path, made)
    replaced = score_map.write(tmp_path, made)
    source = find(tmp_path)
    assert source.files == (posts,)
    assert replaced
    kept = dict.fromkeys((score_map.path_of(tmp_path, made.name), replaced), WhyLeftOut.MAP)
    assert left_out(source) == kept
