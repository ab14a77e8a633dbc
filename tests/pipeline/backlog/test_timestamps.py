"""Every notation of a time is read as one instant in UTC, or rejected."""

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from tests.pipeline.backlog.source_files import (
    ONE,
    STAMP,
    WRITERS,
    duckdb_file,
    find,
    json_lines_file,
    parquet_file,
    stage,
)

READABLE = {
    "2024-05-31-13:00:00": ONE,
    "2024-5-31-13:00:00": ONE,
    "2024-05-31T13:00:00Z": ONE,
    "2024-05-31T13:00:00": ONE,
    "2024-05-31T13:00": ONE,
    "2024-05-31 13:00:00": ONE,
    "2024-05-31T13:00:00.000Z": ONE,
    "2024-05-31T13:00:00.123456789Z": datetime(2024, 5, 31, 13, 0, 0, 123456),
    "2024-05-31T15:00:00+02:00": ONE,
    "2024-05-31T15:00:00+0200": ONE,
    "2024-05-31 15:00:00+02": ONE,
    "2024-05-31T07:30:00-05:30": ONE,
    "2024-05-31": datetime(2024, 5, 31),
    "0001-01-01-00:00:00": datetime(1, 1, 1),
    "0900-12-31T23:00:00Z": datetime(900, 12, 31, 23),
    "9999-12-31": datetime(9999, 12, 31),
}


@pytest.mark.parametrize("name", ["posts.db", "posts.csv", "posts.parquet", "posts.jsonl"])
def test_timestamps_may_be_the_labs_own_or_iso_8601_in_utc(tmp_path: Path, name: str) -> None:
    rows = [(text, "hello", text) for text in READABLE]
    _, posts = stage(find(WRITERS[name](tmp_path / name, rows)))
    assert {uri: at for uri, _, at in posts} == READABLE


UNREADABLE = [
    "",
    "soon",
    "1717160400",
    "infinity",
    "epoch",
    "2024-05-31-25:00:00",
    "2024-02-30-13:00:00",
    "2024-05-31-13:00",
    "2024-05-31T13:00:00Mars/Olympus",
    "31.05.2024",
    "0044-03-15 (BC)",
    "0000-01-01",
    "10000-01-01",
    "0001-01-01T00:00:00+05:00",
    "9999-12-31T23:00:00-05:00",
]


@pytest.mark.parametrize("text", UNREADABLE)
def test_an_unreadable_timestamp_is_rejected_with_its_row(tmp_path: Path, text: str) -> None:
    path = json_lines_file(tmp_path / "posts.jsonl", [("u1", "a", STAMP), ("u2", "b", text)])
    with pytest.raises(InputError, match=rf"^{path}, row 2: .* \(uri u2\); to leave .*$"):
        stage(find(path))


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)), min_size=1
    ),
    st.integers(-14 * 60, 14 * 60),
)
def test_every_notation_of_a_time_is_the_same_instant(
    tmp_path_factory: pytest.TempPathFactory, times: list[datetime], offset: int
) -> None:
    zone = timezone(timedelta(minutes=offset))
    path = tmp_path_factory.mktemp("times") / "posts.parquet"
    rows: list[tuple[str, str, str]] = []
    expected: dict[str, datetime] = {}
    for number, at in enumerate(times):
        utc = at.replace(tzinfo=timezone.utc)  # noqa: UP017
        spelled = {
            "lab": f"{at.date()}-{at:%H:%M:%S}",
            "z": f"{at.isoformat()}Z",
            "offset": utc.astimezone(zone).isoformat(),
        }
        for name, text in spelled.items():
            rows.append((f"{number}{name}", "hello", text))
            expected[f"{number}{name}"] = at.replace(microsecond=0) if name == "lab" else at
    _, posts = stage(find(parquet_file(path, rows)))
    assert {uri: at for uri, _, at in posts} == expected


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (pa.timestamp("us"), ONE, ONE),
        (pa.timestamp("ns"), ONE, ONE),
        (pa.timestamp("ms"), ONE, ONE),
        (pa.timestamp("us", "UTC"), ONE, ONE),
        (pa.timestamp("ns", "America/New_York"), ONE, ONE),
        (pa.date32(), date(2024, 5, 31), datetime(2024, 5, 31)),
    ],
    ids=str,
)
def test_parquets_own_timestamps_are_read_as_instants(
    tmp_path: Path, kind: pa.DataType, value: Any, expected: datetime
) -> None:
    path = parquet_file(tmp_path / "posts.parquet", [("u1", "hello", value)], stamp=kind)
    assert stage(find(path))[1] == [("u1", "hello", expected)]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("TIMESTAMP", "2024-05-31 13:00:00", ONE),
        ("TIMESTAMP_NS", "2024-05-31 13:00:00", ONE),
        ("TIMESTAMPTZ", "2024-05-31 15:00:00+02", ONE),
        ("DATE", "2024-05-31", datetime(2024, 5, 31)),
    ],
)
def test_duckdbs_own_timestamps_are_read_as_instants(
    tmp_path: Path, kind: str, value: str, expected: datetime
) -> None:
    path = duckdb_file(tmp_path / "posts.duckdb", [("u1", "hello", value)], stamp=kind)
    assert stage(find(path))[1] == [("u1", "hello", expected)]
