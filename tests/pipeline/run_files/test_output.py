"""An output appears whole, and only a verified one counts."""

import errno
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.frozen_classifier import create
from pipeline.errors import Cause, TaskError, UnreadableError
from pipeline.files import sha256_of
from pipeline.model import RAW, RAW_SCHEMA, Answer, output_schema
from pipeline.run_files import output
from pipeline.run_files.manifest import Manifest, output_path, raw_path, shard_path
from pipeline.run_files.output import OutputCheck, ShardLabels
from pipeline.run_files.output_rows import ROWS_DIGEST
from pipeline.run_files.responses import SHA256
from pipeline.run_files.rows_digest import digest_rows
from tests.pipeline.run_builders import (
    RUN_ID,
    VALENCE,
    answers_of,
    make_run,
    posts,
    publish_shard,
    read_shard,
    uri,
)


@pytest.fixture
def folder_and_manifest(tmp_path: Path) -> tuple[Path, Manifest]:
    return make_run(tmp_path, posts(40), shards=2)


def publish(
    run: tuple[Path, Manifest],
    answers: pa.Table,
    *,
    attempt: int = 1,
    responses: Iterable[pa.Table] | None = None,
) -> None:
    """Publish these answers of the valence classifier as shard 0's output."""
    run_dir, manifest = run
    output.publish(
        run_dir,
        manifest,
        0,
        ShardLabels(
            posts=read_shard(run_dir, 0),
            answers=answers,
            columns=create(VALENCE, TaskShare()).columns,
            model="m",
            attempt=attempt,
            responses=responses,
        ),
    )


def problems(run_dir: Path, run: Manifest, index: int = 0) -> tuple[str | None, str | None]:
    """The problem that `verify` finds in the footer, and the one that `read` finds."""
    check, table = output.read(run_dir, run, index)
    assert (table is None) == (check.problem is not None)
    return output.verify(run_dir, run, index).problem, check.problem


def test_an_output_holds_posts_labels_and_provenance(
    folder_and_manifest: tuple[Path, Manifest],
) -> None:
    run_dir, manifest = folder_and_manifest

    def answer(at_uri: str) -> Answer:
        if at_uri == uri(1):
            return Answer(at_uri, reason="text_too_short")
        return Answer(at_uri, {"compound": 0.5, "valence_label": "positive"})

    publish_shard(run_dir, manifest, 0, answer=answer, attempt=3)
    check, table = output.read(run_dir, manifest, 0)
    assert check.verified
    assert output.verify(run_dir, manifest, 0) == check
    assert table is not None
    classifier = create(VALENCE, TaskShare())
    assert table.schema.equals(output_schema(classifier.columns))
    first, second = table.slice(0, 2).to_pylist()
    assert first == {
        **posts(1)[0]._asdict(),
        "was_successfully_labeled": True,
        "reason": None,
        "label_timestamp": datetime(2024, 6, 1, 12, 30),
        "compound": 0.5,
        "valence_label": "positive",
        "run_id": RUN_ID,
        "shard_index": 0,
        "attempt": 3,
        "model": classifier.model,
        "config_hash": manifest.config_hash,
        "copied_from": None,
    }
    unlabeled = {
        **posts(1, first=1)[0]._asdict(),
        "was_successfully_labeled": False,
        "reason": "text_too_short",
        "compound": None,
        "valence_label": None,
    }
    assert second == first | unlabeled


def test_answers_in_any_order_are_joined_by_uri(folder_and_manifest: tuple[Path, Manifest]) -> None:
    run_dir, manifest = folder_and_manifest
    classifier = create(VALENCE, TaskShare())
    table = read_shard(run_dir, 0)
    uris = table["uri"].to_pylist()
    number = {at_uri: float(i) for i, at_uri in enumerate(uris)}
    answers = answers_of(
        Random(1).sample(uris, len(uris)),
        classifier.columns,
        lambda at_uri: Answer(at_uri, {"compound": number[at_uri], "valence_label": at_uri}),
    )
    output.publish(
        run_dir,
        manifest,
        0,
        ShardLabels(posts=table, answers=answers, columns=classifier.columns, model="m", attempt=1),
    )
    _, published = output.read(run_dir, manifest, 0)
    assert published is not None
    assert published["uri"].to_pylist() == published["valence_label"].to_pylist() == uris
    assert published["compound"].to_pylist() == list(number.values())


@pytest.mark.parametrize(
    ("answered", "problem"),
    [
        (range(19), "1 post without an answer, 0 answers without a post"),
        (range(21), "0 posts without an answer, 1 answer without a post"),
        (range(1, 21), "1 post without an answer, 1 answer without a post"),
        ([*range(20), 3], "0 posts without an answer, 1 answer without a post"),
        ([], "20 posts without an answer, 0 answers without a post"),
    ],
)
def test_missing_or_surplus_answers_are_not_published(
    folder_and_manifest: tuple[Path, Manifest], answered: list[int], problem: str
) -> None:
    run_dir, manifest = folder_and_manifest
    columns = create(VALENCE, TaskShare()).columns
    answers = answers_of(
        [uri(i) for i in answered], columns, lambda at_uri: Answer(at_uri, reason="x")
    )
    with pytest.raises(TaskError) as rejected:
        publish(folder_and_manifest, answers)
    assert (rejected.value.cause, str(rejected.value)) == (
        Cause.CRASHED,
        f"shard 0 was not published: {problem}",
    )
    assert output.verify(run_dir, manifest, 0) == OutputCheck()


def in_parts(answers: pa.Table, responses: Iterable[str | None]) -> Iterator[pa.Table]:
    """Responses as a checkpoint yields them, from parts of one row each."""
    for row, response in enumerate(responses):
        one = answers.slice(row, 1).select(["uri", "label_timestamp"])
        yield one.append_column(RAW, pa.array([response], pa.string())).cast(RAW_SCHEMA)


def test_responses_are_published_beside_their_output(
    folder_and_manifest: tuple[Path, Manifest],
) -> None:
    run_dir, manifest = folder_and_manifest
    columns = create(VALENCE, TaskShare()).columns
    table = read_shard(run_dir, 0)
    uris = Random(1).sample(table["uri"].to_pylist(), 20)
    answers = answers_of(uris, columns, lambda at: Answer(at, reason="x"))
    responses = {at: f'{{"score": {row}}}' for row, at in enumerate(uris)} | {uri(3): None}
    publish(folder_and_manifest, answers, responses=in_parts(answers, responses.values()))
    check, published = output.read(run_dir, manifest, 0)
    assert published is not None and check.publication is not None
    assert RAW.name not in published.column_names
    kept = pq.read_table(raw_path(run_dir, 0, check.publication))
    assert kept.column_names == ["uri", "label_timestamp", "response"]
    assert published["uri"].to_pylist() == table["uri"].to_pylist()
    assert kept["uri"].to_pylist() == uris
    assert (
        dict(zip(kept["uri"].to_pylist(), kept["response"].to_pylist(), strict=True)) == responses
    )
    file = raw_path(run_dir, 0, check.publication)
    digest = {
        ROWS_DIGEST.encode(): digest_rows(published).encode(),
        SHA256.encode(): sha256_of(file).encode(),
    }
    assert kept.schema.metadata | digest == published.schema.metadata


def test_more_than_two_gigabytes_of_responses_are_published(
    folder_and_manifest: tuple[Path, Manifest],
) -> None:
    """No array of strings can hold that much: it failed after everything had been paid for."""
    run_dir, manifest = folder_and_manifest
    columns = create(VALENCE, TaskShare()).columns
    table = read_shard(run_dir, 0)
    uris = table["uri"].to_pylist()[::-1]
    answers = answers_of(uris, columns, lambda at: Answer(at, reason="x"))
    response = "x" * (2**31 // 19)
    assert len(response) * len(uris) > 2**31
    publish(folder_and_manifest, answers, responses=in_parts(answers, [response] * 20))
    check, published = output.read(run_dir, manifest, 0)
    assert published is not None and check.publication is not None
    assert published["uri"].to_pylist() == uris[::-1]
    with pq.ParquetFile(raw_path(run_dir, 0, check.publication)) as kept:
        assert kept.read(["uri"])["uri"].to_pylist() == uris
        groups = (kept.read_row_group(row, [RAW.name])[RAW.name] for row in (0, 19))
        assert [one.to_pylist() == [response] for one in groups] == [True, True]


@pytest.mark.parametrize(
    "trouble", [None, FileNotFoundError("a part"), OSError(errno.ESTALE, "a part")]
)
def test_a_task_that_is_overtaken_while_writing_responses_leaves_no_trace(
    folder_and_manifest: tuple[Path, Manifest], trouble: OSError | None
) -> None:
    """Its parts are deleted then, or are being deleted, which is another error on NFS."""
    run_dir, manifest = folder_and_manifest
    columns = create(VALENCE, TaskShare()).columns
    table = read_shard(run_dir, 0)
    answers = answers_of(table["uri"].to_pylist(), columns, lambda at: Answer(at, reason="x"))

    def responses(*, overtaken: bool) -> Iterator[pa.Table]:
        yield from in_parts(answers, ["{}"])
        if overtaken:
            publish_shard(run_dir, manifest, 0, attempt=1)
        if trouble:
            raise trouble

    if trouble:
        with pytest.raises(OSError, match="a part"):
            publish(folder_and_manifest, answers, attempt=2, responses=responses(overtaken=False))
        assert output.verify(run_dir, manifest, 0) == OutputCheck()
    publish(folder_and_manifest, answers, attempt=2, responses=responses(overtaken=True))
    _, published = output.read(run_dir, manifest, 0)
    assert published is not None
    assert set(published["attempt"].to_pylist()) == {1}
    assert list((run_dir / "raw").iterdir()) == []


def test_a_missing_file_is_neither_an_output_nor_a_problem(
    folder_and_manifest: tuple[Path, Manifest],
) -> None:
    run_dir, manifest = folder_and_manifest
    assert output.verify(run_dir, manifest, 0) == OutputCheck(publication=None, problem=None)
    assert output.read(run_dir, manifest, 0) == (OutputCheck(), None)
    assert not OutputCheck().verified


def test_a_second_publisher_does_not_replace_the_first(
    folder_and_manifest: tuple[Path, Manifest],
) -> None:
    run_dir, manifest = folder_and_manifest
    publish_shard(run_dir, manifest, 0, attempt=1)
    first = output_path(run_dir, 0).read_bytes()
    publish_shard(run_dir, manifest, 0, attempt=2)
    assert output_path(run_dir, 0).read_bytes() == first


def test_a_damaged_output_is_replaced_by_another_publication(
    folder_and_manifest: tuple[Path, Manifest],
) -> None:
    run_dir, manifest = folder_and_manifest
    publish_shard(run_dir, manifest, 0)
    first = output.verify(run_dir, manifest, 0)
    path = output_path(run_dir, 0)
    path.write_bytes(path.read_bytes()[:500])
    damaged = path.read_bytes()
    publish_shard(run_dir, manifest, 0)
    (aside,) = path.parent.glob("00000.parquet.damaged-*")
    assert aside.read_bytes() == damaged, "a person may still want it"
    second = output.verify(run_dir, manifest, 0)
    assert first.verified
    assert second.verified
    assert first.publication != second.publication


def test_an_output_that_cannot_be_read_is_not_replaced(
    folder_and_manifest: tuple[Path, Manifest],
) -> None:
    run_dir, manifest = folder_and_manifest
    publish_shard(run_dir, manifest, 0)
    path = output_path(run_dir, 0)
    path.rename(run_dir / "elsewhere")
    path.symlink_to("/not/mounted")
    for attempt in (output.is_published, publish_shard):
        with pytest.raises(UnreadableError):
            attempt(run_dir, manifest, 0)
    path.unlink()
    (run_dir / "elsewhere").rename(path)
    assert output.is_published(run_dir, manifest, 0)


@pytest.mark.parametrize("kept", [0, 3, 8, 500, -1, -8])
def test_a_truncated_file_is_not_an_output(
    folder_and_manifest: tuple[Path, Manifest], kept: int
) -> None:
    run_dir, manifest = folder_and_manifest
    publish_shard(run_dir, manifest, 0)
    path = output_path(run_dir, 0)
    path.write_bytes(path.read_bytes()[:kept])
    for problem in problems(run_dir, manifest):
        assert problem is not None
        assert problem.startswith("it cannot be decoded: ")


def test_the_output_of_another_shard_is_not_an_output(
    folder_and_manifest: tuple[Path, Manifest],
) -> None:
    run_dir, manifest = folder_and_manifest
    publish_shard(run_dir, manifest, 1)
    output_path(run_dir, 1).rename(output_path(run_dir, 0))
    problem = "its receipt is not this shard's: hpc.shard_index is 1"
    assert problems(run_dir, manifest) == (problem, problem)


def test_the_output_of_another_run_is_not_an_output(
    folder_and_manifest: tuple[Path, Manifest], tmp_path: Path
) -> None:
    other_dir, other = make_run(tmp_path, posts(40), shards=2, run_id="20240602T000000-other-1")
    publish_shard(other_dir, other, 0)
    run_dir, manifest = folder_and_manifest
    output_path(run_dir, 0).parent.mkdir()
    output_path(other_dir, 0).rename(output_path(run_dir, 0))
    problem = "its receipt is not this shard's: hpc.run_id is 20240602T000000-other-1"
    assert problems(run_dir, manifest) == (problem, problem)


def test_the_output_of_another_input_is_not_an_output(
    folder_and_manifest: tuple[Path, Manifest],
) -> None:
    run_dir, manifest = folder_and_manifest
    publish_shard(run_dir, manifest, 0)
    shards = (replace(manifest.shards[0], sha256="0" * 64), manifest.shards[1])
    problem = f"its receipt is not this shard's: hpc.input_sha256 is {manifest.shards[0].sha256}"
    assert problems(run_dir, replace(manifest, shards=shards)) == (problem, problem)


def test_a_parquet_file_without_a_receipt_is_not_an_output(
    folder_and_manifest: tuple[Path, Manifest],
) -> None:
    run_dir, manifest = folder_and_manifest
    path = output_path(run_dir, 0)
    path.parent.mkdir()
    path.write_bytes(shard_path(run_dir, 0).read_bytes())
    problem = "its receipt is not this shard's: hpc.run_id is missing"
    assert problems(run_dir, manifest) == (problem, problem)


def test_an_output_with_a_missing_row_is_not_an_output(
    folder_and_manifest: tuple[Path, Manifest],
) -> None:
    run_dir, manifest = folder_and_manifest
    publish_shard(run_dir, manifest, 0)
    path = output_path(run_dir, 0)
    pq.write_table(pq.read_table(path).slice(1), path)
    problem = "it holds 19 rows, but the shard 20 posts"
    assert problems(run_dir, manifest) == (problem, problem)


def test_an_output_with_other_columns_is_not_read(
    folder_and_manifest: tuple[Path, Manifest],
) -> None:
    run_dir, manifest = folder_and_manifest
    publish_shard(run_dir, manifest, 0)
    path = output_path(run_dir, 0)
    whole = pq.read_table(path)
    for columns in (
        whole.drop_columns(["reason"]),
        whole.rename_columns({"attempt": "Attempt"}),
        whole.set_column(0, "uri", pa.array([1] * 20)),
    ):
        pq.write_table(columns.replace_schema_metadata(whole.schema.metadata), path)
        assert problems(run_dir, manifest) == (None, "it does not have an output's columns")


def test_an_empty_name_of_the_publication_does_not_hide_an_output_from_gathering(
    folder_and_manifest: tuple[Path, Manifest],
) -> None:
    run_dir, manifest = folder_and_manifest
    publish_shard(run_dir, manifest, 0)
    path = output_path(run_dir, 0)
    table = pq.read_table(path)
    footer = {**table.schema.metadata, output.PUBLICATION.encode(): b""}
    pq.write_table(table.replace_schema_metadata(footer), path)
    assert output.verify(run_dir, manifest, 0).publication
