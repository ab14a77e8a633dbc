"""A sample is the same for the same posts, whatever holds them, and each post has its chance."""

import csv
import hashlib
import json
import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.backlog import select
from pipeline.backlog.sources import Source
from pipeline.errors import InputError
from pipeline.run_files.sample_file import SCHEMA, Stratum
from pipeline.sampling import draw as drawing
from pipeline.sampling.allocate import Allocation
from pipeline.sampling.draw import MONTH, DrawRequest
from tests.pipeline.backlog.source_files import find

COLUMNS = ("uri", "text", "preprocessing_timestamp", "lang")


class Row(NamedTuple):
    uri: str
    text: str
    preprocessing_timestamp: str
    lang: str | None


def rows_of(count: int) -> list[Row]:
    """Posts of three months and two languages; each tenth has no language."""
    return [
        Row(
            f"at://pöst/{number}" if number % 7 == 0 else f"at://post/{number}",
            f"text {number} ✨",
            f"2024-0{number % 3 + 4}-30-23:59:{number % 60:02d}",
            None if number % 10 == 0 else "de" if number % 4 else "en, or so",
        )
        for number in range(count)
    ]


def parquet(folder: Path, rows: Sequence[Row]) -> Path:
    path = folder / "posts.parquet"
    pq.write_table(pa.Table.from_pylist([row._asdict() for row in rows]), path)
    return path


def csv_file(folder: Path, rows: Sequence[Row]) -> Path:
    path = folder / "posts.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    return path


def json_lines(folder: Path, rows: Sequence[Row]) -> Path:
    path = folder / "posts.jsonl"
    path.write_text("".join(f"{json.dumps(row._asdict())}\n" for row in rows), encoding="utf-8")
    return path


def sqlite(folder: Path, rows: Sequence[Row]) -> Path:
    path = folder / "posts.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE posts ({', '.join(COLUMNS)})")
        connection.executemany("INSERT INTO posts VALUES (?, ?, ?, ?)", rows)
        connection.commit()
    return path


def iso(stamp: str) -> str:
    """The same moment as ISO 8601 in another time zone, where the next month may have begun."""
    moment = datetime.strptime(f"{stamp} +0000", "%Y-%m-%d-%H:%M:%S %z")
    return moment.astimezone(timezone(timedelta(hours=2))).isoformat()


WRITERS: Sequence[Callable[[Path, Sequence[Row]], Path]] = (parquet, csv_file, json_lines, sqlite)


Drawn = tuple[tuple[Stratum, ...], pa.Table]


class Backlog:
    """Staged posts, from which samples can be drawn one after the other."""

    def __init__(self, source: Source, connection: duckdb.DuckDBPyConnection) -> None:
        self._source, self._connection = source, connection
        select.stage_posts(connection, source, exclude=None)

    def draw(self, request: DrawRequest) -> Drawn:
        strata = drawing.draw(self._connection, self._source, request, "staged")
        return strata, drawing.read_drawn(self._connection)


def draw(path: Path, request: DrawRequest) -> Drawn:
    with tempfile.TemporaryDirectory() as folder, select.staging(Path(folder)) as connection:
        return Backlog(find(path), connection).draw(request)


def by_stratum(table: pa.Table) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in table.to_pylist():
        found.setdefault(row["stratum"], set()).add(row["uri"])
    return found


def by_hand(strata: Mapping[str, Sequence[str]], sizes: Mapping[str, int], seed: int) -> object:
    """The uris that come first by their hash."""

    def rank(uri: str) -> str:
        return hashlib.sha256(f"{seed}:{uri}".encode()).hexdigest()

    return {name: set(sorted(strata[name], key=rank)[: sizes[name]]) for name in strata}


def test_the_posts_with_the_smallest_hashes_are_drawn(tmp_path: Path) -> None:
    rows = rows_of(300)
    strata, table = draw(parquet(tmp_path, rows), DrawRequest(size=50, seed=42, stratify="lang"))
    assert strata == (
        Stratum(stratum="(missing)", population=30, size=5),
        Stratum(stratum="de", population=210, size=35),
        Stratum(stratum="en, or so", population=60, size=10),
    )
    uris: dict[str, list[str]] = {}
    for row in rows:
        uris.setdefault(row.lang or "(missing)", []).append(row.uri)
    sizes = {each.stratum: each.size for each in strata}
    assert by_stratum(table) == by_hand(uris, sizes, 42)
    assert table.schema == SCHEMA
    assert table["uri"].to_pylist() == sorted(table["uri"].to_pylist())
    assert set(table["inclusion_probability"].to_pylist()) == {5 / 30, 35 / 210, 10 / 60}
    assert set(table["posts"].to_pylist()) == {1}


@pytest.mark.parametrize("stratify", [None, MONTH, "lang"])
def test_the_sample_does_not_depend_on_format_order_or_notation(
    tmp_path: Path, stratify: str | None
) -> None:
    rows = rows_of(120)
    copies = [rows[3], rows[7]]
    shuffled = random.Random(1).sample([*rows, *copies], 122)
    request = DrawRequest(size=40, seed=7, stratify=stratify)
    expected = draw(parquet(tmp_path, rows), request)
    assert {each.stratum for each in expected[0]} == {
        None: {"all"},
        MONTH: {"2024-04", "2024-05", "2024-06"},
        "lang": {"(missing)", "de", "en, or so"},
    }[stratify]
    for number, write in enumerate(WRITERS):
        folder = tmp_path / str(number)
        folder.mkdir()
        others = [row._replace(preprocessing_timestamp=iso(row.preprocessing_timestamp))
                  for row in shuffled]  # fmt: skip
        assert draw(write(folder, others), request) == expected


@pytest.fixture(scope="module")
def backlog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backlog]:
    """A backlog of 200 posts."""
    folder = tmp_path_factory.mktemp("backlog")
    with select.staging(folder) as connection:
        yield Backlog(find(parquet(folder, rows_of(200))), connection)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.tuples(st.integers(3, 200), st.integers(3, 200)),
    seed=st.integers(0, 2**53),
    stratify=st.sampled_from([None, MONTH, "lang"]),
    allocation=st.sampled_from(Allocation),
)
def test_a_larger_sample_contains_the_smaller_one_in_each_stratum(
    backlog: Backlog,
    sizes: tuple[int, int],
    seed: int,
    stratify: str | None,
    allocation: Allocation,
) -> None:
    small, large = (
        backlog.draw(DrawRequest(size=size, seed=seed, stratify=stratify, allocation=allocation))
        for size in sorted(sizes)
    )
    assert [table.num_rows for _, table in (small, large)] == sorted(sizes)
    more = by_stratum(large[1])
    for stratum, uris in by_stratum(small[1]).items():
        assert uris <= more[stratum]
    for strata, table in (small, large):
        drawn = Counter(table["stratum"].to_pylist())
        chances = dict(zip(table["stratum"].to_pylist(),
                           table["inclusion_probability"].to_pylist(), strict=True))  # fmt: skip
        for each in strata:
            assert drawn[each.stratum] == each.size
            assert chances[each.stratum] == each.size / each.population


def test_each_post_of_a_stratum_is_drawn_about_equally_often(backlog: Backlog) -> None:
    draws = 60
    often: Counter[str] = Counter()
    for seed in range(draws):
        strata, table = backlog.draw(DrawRequest(size=50, seed=seed, stratify=MONTH))
        often.update(table["uri"].to_pylist())
    chance = {each.stratum: each.size / each.population for each in strata}
    surplus = sum(
        (often[row.uri] - draws * p) ** 2 / (draws * p * (1 - p))
        for row in rows_of(200)
        for p in [chance[row.preprocessing_timestamp[:7]]]
    )
    # Of a chi-squared variable with 197 degrees of freedom, 99.99 % lie within these limits.
    assert 125 < surplus < 280


@pytest.mark.parametrize("margin", [0.0, 1.0])
def test_a_stratum_with_too_few_candidates_is_ranked_whole(
    backlog: Backlog, monkeypatch: pytest.MonkeyPatch, margin: float
) -> None:
    requests = [DrawRequest(size=40, seed=seed, stratify=MONTH) for seed in range(6)]
    expected = [backlog.draw(request) for request in requests]
    monkeypatch.setattr(drawing, "MARGIN", margin)
    assert [backlog.draw(request) for request in requests] == expected


def test_all_posts_can_be_drawn(backlog: Backlog) -> None:
    (stratum,), table = backlog.draw(DrawRequest(size=200, seed=1))
    assert stratum == Stratum(stratum="all", population=200, size=200)
    assert set(table["inclusion_probability"].to_pylist()) == {1.0}


@pytest.mark.parametrize(
    "request_",
    [
        DrawRequest(size=201, seed=1),
        DrawRequest(size=199, seed=1, stratify="uri"),
        DrawRequest(size=10, seed=1, stratify="language"),
    ],
    ids=["more than there are", "more strata than posts", "no such column"],
)
def test_a_sample_that_is_not_possible_is_rejected(backlog: Backlog, request_: DrawRequest) -> None:
    with pytest.raises(InputError):
        backlog.draw(request_)


def test_the_stratum_of_missing_values_is_not_mixed_with_a_value_of_that_name(
    tmp_path: Path,
) -> None:
    rows = [*rows_of(20), Row("at://odd", "some text", "2024-04-01-00:00:00", "(missing)")]
    with pytest.raises(InputError):
        draw(parquet(tmp_path, rows), DrawRequest(size=10, seed=1, stratify="lang"))


def test_an_empty_text_is_as_missing_as_null(tmp_path: Path) -> None:
    rows = [row._replace(lang=row.lang or "") for row in rows_of(30)]
    strata, _ = draw(parquet(tmp_path, rows), DrawRequest(size=9, seed=1, stratify="lang"))
    assert [each.stratum for each in strata] == ["(missing)", "de", "en, or so"]
