"""A sample's file appears whole, never changes, and is verified whenever it is read."""

import tempfile
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DamagedError, InputError, UnreadableError
from pipeline.run_files import sample_file
from pipeline.run_files.sample_file import SCHEMA, Sample, Stratum

ROWS = pa.table(
    {
        "uri": ["at://b", "at://a", "at://ä\n"],
        "stratum": ["2024-05", "2024-05", "(missing)"],
        "inclusion_probability": [0.5, 0.5, 1.0],
        "posts": [1, 3, 1],
    },
    schema=SCHEMA,
)
SAMPLE = Sample(
    sample="perspective-s42-n3",
    kind="submit",
    name="perspective",
    seed=42,
    size=3,
    population=5,
    strata=(
        Stratum(stratum="2024-05", population=4, size=2),
        Stratum(stratum="(missing)", population=1, size=1),
    ),
    drawn_at="2026-11-30T12:00:00+00:00",
    source="posts.parquet",
)


def test_a_sample_reads_back_as_it_was_written_sorted_by_uri(tmp_path: Path) -> None:
    path = sample_file.write(tmp_path, SAMPLE, ROWS)
    assert path == tmp_path / "samples" / "perspective-s42-n3.parquet"
    found = sample_file.read(path)
    assert found.sample == SAMPLE
    assert found.rows.equals(ROWS.sort_by("uri"))
    assert sample_file.list_files(tmp_path) == [path]


def test_the_metadata_are_those_that_other_programs_are_promised(tmp_path: Path) -> None:
    path = sample_file.write(tmp_path, SAMPLE, ROWS)
    metadata = pq.read_schema(path).metadata
    assert msgspec.json.decode(metadata[b"sample"]) == {
        "sample": "perspective-s42-n3",
        "kind": "submit",
        "name": "perspective",
        "seed": 42,
        "size": 3,
        "population": 5,
        "strata": [
            {"stratum": "2024-05", "population": 4, "size": 2},
            {"stratum": "(missing)", "population": 1, "size": 1},
        ],
        "drawn_at": "2026-11-30T12:00:00+00:00",
        "source": "posts.parquet",
    }


def test_an_equal_sample_is_accepted_and_the_first_one_stays(tmp_path: Path) -> None:
    path = sample_file.write(tmp_path, SAMPLE, ROWS)
    first = path.read_bytes()
    later = msgspec.structs.replace(SAMPLE, drawn_at="2027-01-01T00:00:00+00:00")
    assert sample_file.write(tmp_path, later, ROWS.sort_by("uri")) == path
    assert path.read_bytes() == first


@pytest.mark.parametrize("other", ["seed", "rows"])
def test_a_sample_is_never_overwritten_by_another_one(tmp_path: Path, other: str) -> None:
    path = sample_file.write(tmp_path, SAMPLE, ROWS)
    first = path.read_bytes()
    if other == "seed":
        sample, rows = msgspec.structs.replace(SAMPLE, seed=43), ROWS
    else:
        sample, rows = SAMPLE, ROWS.set_column(0, SCHEMA.field("uri"), [["at://c", "at://d", "e"]])
    with pytest.raises(InputError):
        sample_file.write(tmp_path, sample, rows)
    assert path.read_bytes() == first
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "a b", "ä", "x" * 121, "a\n"])
def test_a_name_that_is_no_plain_file_name_is_rejected(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        sample_file.write(tmp_path, msgspec.structs.replace(SAMPLE, sample=name), ROWS)
    assert list(tmp_path.iterdir()) == []


@given(parts=st.lists(st.lists(st.sampled_from("abcdé"), max_size=3), max_size=3))
def test_rows_in_any_pieces_and_order_are_kept_and_a_uri_is_never_there_twice(
    parts: list[list[str]],
) -> None:
    uris = [uri for part in parts for uri in part]
    tables = [
        pa.table(
            {"uri": part, "stratum": ["all"] * len(part), "posts": [1] * len(part),
             "inclusion_probability": [1.0] * len(part)},
        ).select(SCHEMA.names).cast(SCHEMA) for part in parts
    ]  # fmt: skip
    size = len(uris)
    sample = msgspec.structs.replace(
        SAMPLE, size=size, population=size, strata=(Stratum(stratum="all", population=size,
                                                            size=size),),
    )  # fmt: skip
    rows = pa.concat_tables([SCHEMA.empty_table(), *tables])
    with tempfile.TemporaryDirectory() as folder:
        if len(set(uris)) < size:
            with pytest.raises(AssertionError):
                sample_file.write(Path(folder), sample, rows)
        else:
            path = sample_file.write(Path(folder), sample, rows)
            assert sample_file.read(path).rows["uri"].to_pylist() == sorted(uris)


def with_column(name: str, values: list[object]) -> pa.Table:
    number = SCHEMA.names.index(name)
    return ROWS.set_column(number, SCHEMA.field(name).with_nullable(True), [values])


@pytest.mark.parametrize(
    "rows",
    [
        with_column("uri", ["a", "a", "b"]),
        with_column("uri", ["a", None, "b"]),
        with_column("inclusion_probability", [0.5, 0.0, 1.0]),
        with_column("inclusion_probability", [0.5, float("nan"), 1.0]),
        with_column("inclusion_probability", [0.5, 1.5, 1.0]),
        with_column("inclusion_probability", [0.5, 0.6, 1.0]),
        with_column("posts", [1, 0, 1]),
        with_column("stratum", ["2024-05", "2024-06", "(missing)"]),
        ROWS.drop_columns(["posts"]),
        ROWS.slice(1),
    ],
)
def test_rows_that_do_not_fit_the_description_are_damage(tmp_path: Path, rows: pa.Table) -> None:
    path = sample_file.write(tmp_path, SAMPLE, ROWS)
    metadata = pq.read_schema(path).metadata
    pq.write_table(rows.replace_schema_metadata(metadata), path)
    with pytest.raises(DamagedError, match="sample_name"):
        sample_file.read(path)


def test_a_file_that_is_no_sample_or_a_renamed_one_is_damage(tmp_path: Path) -> None:
    path = sample_file.write(tmp_path, SAMPLE, ROWS)
    renamed = path.rename(path.with_name("mine.parquet"))
    with pytest.raises(DamagedError):
        sample_file.read(renamed)
    pq.write_table(ROWS, path)
    with pytest.raises(DamagedError):
        sample_file.read(path)
    path.write_bytes(renamed.read_bytes()[:-20])
    with pytest.raises(DamagedError):
        sample_file.read(path)


def test_without_samples_there_is_nothing_to_list(tmp_path: Path) -> None:
    assert sample_file.list_files(tmp_path) == []
    (tmp_path / "samples").write_text("a file")
    with pytest.raises(UnreadableError):
        sample_file.list_files(tmp_path)
