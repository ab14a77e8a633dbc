"""The footer of an output tells how many of its posts have which reason, without its rows."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import files
from pipeline.model import Answer, Column
from pipeline.run_files import output, reason_counts
from pipeline.run_files.checkpoints.checkpoint import Checkpoint
from pipeline.run_files.manifest import Manifest, output_path
from tests.pipeline.run_builders import RUN_ID, make_run, posts, publish_shard, uri

LABELS = {"compound": 0.5, "valence_label": "positive"}


def published(folder: Path, *reasons: str | None) -> tuple[Path, Manifest]:
    """An output with a post for each reason; None stands for a label."""
    run_dir, run = make_run(folder, posts(len(reasons)))
    by_uri = {uri(number): reason for number, reason in enumerate(reasons)}
    publish_shard(
        run_dir,
        run,
        answer=lambda at_uri: (
            Answer(at_uri, reason=reason) if (reason := by_uri[at_uri]) else Answer(at_uri, LABELS)
        ),
    )
    return run_dir, run


def with_footer(run_dir: Path, value: str | None) -> None:
    """Write the counts in the footer anew; None: as an older version, which had none."""
    path = output_path(run_dir, 0)
    table = pq.read_table(path, partitioning=None)
    footer = {k: v for k, v in table.schema.metadata.items() if k != b"hpc.reasons"}
    if value is not None:
        footer[b"hpc.reasons"] = value.encode()
    files.write_parquet(path, table.replace_schema_metadata(footer))


def counts(run_dir: Path, run: Manifest) -> dict[str, int] | None:
    check = output.verify(run_dir, run, 0)
    assert check.verified
    return None if check.unlabelable is None else dict(check.unlabelable)


def test_reasons_are_counted_by_their_first_word(tmp_path: Path) -> None:
    run_dir, run = published(
        tmp_path, None, "invalid_answer: no JSON", "invalid_answer: no label", "no_text", None
    )
    assert counts(run_dir, run) == {"invalid_answer": 2, "no_text": 1}
    check, _ = output.read(run_dir, run, 0)
    assert check.unlabelable == {"invalid_answer": 2, "no_text": 1}


def test_an_output_in_which_every_post_is_labeled_has_no_reasons(tmp_path: Path) -> None:
    run_dir, run = published(tmp_path, None, None)
    assert counts(run_dir, run) == {}


@pytest.mark.parametrize(
    ("reasons", "known"),
    [
        ((None, None), {}),
        ((None, "no_text", "no_text"), {"no_text": 2}),
        (("http_500: a", "http_500: a"), {"http_500": 2}),
        ((None, "no_text", "invalid_answer"), {"unspecified": 2}),
    ],
)
def test_an_output_of_an_older_version_shows_how_many_posts_have_a_reason(
    tmp_path: Path, reasons: tuple[str | None, ...], known: dict[str, int]
) -> None:
    run_dir, run = published(tmp_path, *reasons)
    with_footer(run_dir, None)
    assert counts(run_dir, run) == known


@pytest.mark.parametrize("value", ["", "{", "[]", "3", "null", '{"no_text": -1}', '{"a": "b"}'])
def test_damaged_counts_are_replaced_by_parquets_own(tmp_path: Path, value: str) -> None:
    run_dir, run = published(tmp_path, None, "no_text")
    with_footer(run_dir, value)
    assert counts(run_dir, run) == {"no_text": 1}


def test_an_output_without_statistics_shows_nothing(tmp_path: Path) -> None:
    run_dir, run = published(tmp_path, None, "no_text")
    path = output_path(run_dir, 0)
    table = pq.read_table(path, partitioning=None)
    footer = {k: v for k, v in table.schema.metadata.items() if k != b"hpc.reasons"}
    pq.write_table(table.replace_schema_metadata(footer), path, write_statistics=False)
    assert counts(run_dir, run) is None


def test_a_footer_holds_a_limited_number_of_reasons_of_a_limited_length(tmp_path: Path) -> None:
    run_dir, run = published(tmp_path, *("frequent",) * 3, *(f"{n}{'x' * 200}" for n in range(60)))
    known = counts(run_dir, run)
    assert known is not None
    assert (len(known), sum(known.values())) == (51, 63)
    assert (known["frequent"], known["unspecified"]) == (3, 11)
    assert max(map(len, known)) == 100


REASON = st.none() | st.sampled_from(["no_text", "poison: died twice", "http_500", ":", "é: x"])


@settings(deadline=None, max_examples=20)
@given(st.lists(REASON, min_size=1, max_size=12))
def test_a_checkpoint_counts_as_its_output_will(
    tmp_path_factory: pytest.TempPathFactory, reasons: list[str | None]
) -> None:
    folder = tmp_path_factory.mktemp("work")
    columns = (Column("mood", "text"),)
    answers = [
        Answer(str(number), reason=reason) if reason else Answer(str(number), {"mood": "fine"})
        for number, reason in enumerate(reasons)
    ]
    half = len(answers) // 2

    def attempt(number: int) -> Checkpoint:
        return Checkpoint(folder, metadata={"run": RUN_ID}, columns=columns, attempt=number)

    first = attempt(1)
    for answer in answers[:half]:
        first.add(answer)
    first.flush()
    second = attempt(2)
    second.load()
    for answer in answers[half:]:
        second.add(answer)
    expected = reason_counts.count_reasons(
        pa.table(
            {
                "was_successfully_labeled": [reason is None for reason in reasons],
                "reason": pa.array(reasons, pa.string()),
            }
        )
    )
    assert second.sums().unlabelable == expected
    assert expected.total() == sum(reason is not None for reason in reasons)
