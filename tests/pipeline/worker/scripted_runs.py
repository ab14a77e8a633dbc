"""Planned runs of the scripted classifier, and what their tasks leave behind."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import Cause
from pipeline.run_files import last_words, output
from pipeline.run_files.manifest import Manifest
from tests.pipeline import scripted_classifier
from tests.pipeline.run_builders import make_run, posts, uri

LabelAndReason = tuple[Any, str | None]


def scripted_run(
    folder: Path, count: int, *, rows: int = 500, **options: Any
) -> tuple[Path, Manifest]:
    """A planned run of one shard with `count` posts, and a checkpoint part every `rows` answers."""
    classifier = scripted_classifier.options(folder, **options)
    return make_run(folder, posts(count), classifier=classifier, checkpoint_rows=rows)


def labels_and_reasons(
    run_dir: Path, run: Manifest, column: str = "mood"
) -> dict[str, LabelAndReason]:
    """Label and reason of each post of shard 0, from a verified output."""
    check, table = output.read(run_dir, run, 0)
    assert table is not None, check
    columns = (table[name].to_pylist() for name in ("uri", column, "reason"))
    return {at_uri: (label, reason) for at_uri, label, reason in zip(*columns, strict=True)}


def own_texts(count: int, reasons: Mapping[int, str] | None = None) -> dict[str, LabelAndReason]:
    """Every post's text as its label, except the rows that have a reason instead."""
    return {
        uri(row): (None, reasons[row]) if reasons and row in reasons else (post.text, None)
        for row, post in enumerate(posts(count))
    }


def last_words_of(run_dir: Path, attempt: int = 1) -> tuple[Cause, str] | None:
    """Cause and message of the last words of an attempt at shard 0."""
    words = last_words.read(run_dir, attempt, 0)
    return (words.cause, words.message) if words else None
