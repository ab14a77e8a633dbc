"""An output proves the responses that were published with it."""

import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.frozen_classifier import create
from pipeline.model import RAW_SCHEMA, Answer
from pipeline.run_files import output, responses
from pipeline.run_files.manifest import output_path
from pipeline.run_files.output import ShardLabels
from tests.pipeline.run_builders import VALENCE, answers_of, make_run, posts, read_shard

LINE = '{"attributeScores": {}}'


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Two shards, published with their responses."""
    folder, manifest = make_run(tmp_path, posts(8), shards=2)
    columns = create(VALENCE, TaskShare()).columns
    for index in range(2):
        table = read_shard(folder, index)
        answers = answers_of(table["uri"].to_pylist(), columns, lambda at: Answer(at, reason="x"))
        said = pa.table(
            [answers["uri"], answers["label_timestamp"], pa.array([LINE] * len(answers))],
            schema=RAW_SCHEMA,
        )
        output.publish(
            folder,
            manifest,
            index,
            ShardLabels(
                posts=table, answers=answers, columns=columns, model="m", attempt=1,
                responses=[said],
            ),
        )  # fmt: skip
    return folder


def file_of(run_dir: Path, index: int) -> Path:
    (path,) = (run_dir / "raw").glob(f"{index:05d}-*.parquet")
    return path


def found(run_dir: Path) -> list[str]:
    """The problems, with what differs from run to run replaced."""
    lines = responses.find_problems(run_dir, range(2))
    return [
        re.sub(r"\b[0-9a-f]{64}\b", "SHA", re.sub(r"\b[0-9a-f]{32}\b", "NAME", line)).replace(
            str(run_dir), "RUN"
        )
        for line in lines
    ]


def replaced(path: Path) -> None:
    """A file with other responses and the same footer."""
    table = pq.read_table(path, partitioning=None)
    text = pa.array([LINE.replace("{}", "[]")] * len(table))
    pq.write_table(table.set_column(2, "response", text).cast(table.schema), path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (Path.unlink, "is missing: it has the responses of 00001.parquet"),
        (replaced, "is not what was published: its sha256 is SHA, and 00001.parquet says SHA"),
        (a_folder, "cannot be read now: Is a directory"),
    ],
)
def test_responses_that_are_not_those_of_the_output_are_named(
    run_dir: Path, damage: Callable[[Path], None], problem: str
) -> None:
    assert found(run_dir) == []
    damage(file_of(run_dir, 1))
    assert found(run_dir) == [f"RUN/raw/00001-NAME.parquet {problem}"]
    assert responses.find_problems(run_dir, [0]) == []


def test_a_folder_of_responses_that_is_gone_is_one_problem(run_dir: Path) -> None:
    (run_dir / "raw").rename(run_dir / "elsewhere")
    assert found(run_dir) == ["RUN/raw is missing: the responses of this run are not here any more"]
    assert responses.find_problems(run_dir, []) == []


def test_an_output_of_an_earlier_version_proves_only_which_file_has_its_responses(
    run_dir: Path,
) -> None:
    for index in range(2):
        path = output_path(run_dir, index)
        table = pq.read_table(path)
        footer = {k: v for k, v in table.schema.metadata.items() if b"responses" not in k}
        pq.write_table(table.replace_schema_metadata(footer), path)
    replaced(file_of(run_dir, 0))
    file_of(run_dir, 1).unlink()
    assert found(run_dir) == [
        "RUN/raw/00001-NAME.parquet is missing: it has the responses of 00001.parquet"
    ]
    # A shard that was published before `keep_raw` was corrected has none either.
    assert responses.find_problems(run_dir, range(2), of_all=False) == []


def test_an_output_that_cannot_be_read_proves_nothing(run_dir: Path) -> None:
    output_path(run_dir, 0).write_bytes(b"PAR1")
    (line,) = found(run_dir)
    assert line.startswith("RUN/outputs/00000.parquet: it cannot say which responses")


@pytest.mark.parametrize("publication", ["", "../../shards/x", "a\0b", "\x1b[2J"])
def test_a_publication_that_names_no_file_of_the_folder_is_not_looked_for(
    run_dir: Path, publication: str
) -> None:
    path = output_path(run_dir, 0)
    table = pq.read_table(path)
    footer = {**table.schema.metadata, responses.PUBLICATION.encode(): publication.encode()}
    pq.write_table(table.replace_schema_metadata(footer), path)
    assert found(run_dir) == [
        "RUN/outputs/00000.parquet: it does not say which responses are its own"
    ]
