"""Choose the posts that configurations are tried on: at random, and the same ones each time."""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.analysis.overlap import label_columns
from pipeline.backlog import select
from pipeline.backlog.scan import Scan
from pipeline.backlog.sources import Source
from pipeline.config.session_limits import LOGIN_NODE, SessionLimits
from pipeline.database import duckdb_file, label_tables
from pipeline.database.label_tables import labels_table
from pipeline.errors import InputError
from pipeline.messages.options import TRIAL_DATABASE
from pipeline.model import Column, LabelValue, Post
from pipeline.short_text import is_too_short
from pipeline.sql import quoted
from pipeline.text import did_you_mean

_LABELS = "labels"
# Some texts are too short, or the same as others.
_SPARE = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldLabels:
    """What people said about the posts."""

    name: str
    columns: tuple[Column, ...]
    values: Mapping[str, Mapping[str, LabelValue]]
    """By uri, the value of each column."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialPosts:
    """The posts that are tried."""

    posts: tuple[Post, ...]
    origin: str
    """Where they come from, for messages."""

    gold: GoldLabels | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawRules:
    """Which posts to take."""

    count: int
    seed: int
    min_text_length: int
    """Shorter texts are not sent, and so not taken."""
    limits: SessionLimits = LOGIN_NODE
    """How much of the machine the draw may take."""

    @property
    def order(self) -> str:
        """Return SQL for the order in which posts are drawn.

        It is not that of `submit --sample` with the same seed: a prompt that was tuned on the posts
        of a sample would look better on it than it is.
        """
        return f"sha256('try:{self.seed}:' || uri), uri, text"


def draw_posts(source: Source, rules: DrawRules) -> TrialPosts:
    """Draw posts from a backlog, whether or not they have labels; each text is drawn once.

    Nothing is left on the disk.

    Raises:
        InputError: the source cannot be read, or has no post that can be sent.
    """
    with (
        tempfile.TemporaryDirectory(prefix="hpc-try-") as folder,
        select.staging(Path(folder), rules.limits) as connection,
        closing(Scan(connection, source)) as scan,
    ):
        rows = _take(
            lambda most: scan.read(
                lambda relation: (
                    f"SELECT uri, text FROM ({relation}) WHERE reason IS NULL AND uri <> '' "
                    f"AND text IS NOT NULL ORDER BY {rules.order} LIMIT {most}"
                )
            ),
            rules,
        )
    if not rows:
        raise InputError(f"{source} has no posts with a text that can be sent")
    return TrialPosts(posts=tuple(Post(row[0], row[1]) for row in rows), origin=str(source))


def draw_gold_posts(database: Path, name: str, rules: DrawRules) -> TrialPosts:
    """Draw posts that people labeled under a name; nothing is left on the disk.

    Raises:
        InputError: there is no such database or name, or the name has no labels.
    """
    if not database.is_file():
        raise InputError(f"there is no database {database}; name one with {TRIAL_DATABASE}")
    with (
        tempfile.TemporaryDirectory(prefix="hpc-try-") as folder,
        select.staging(Path(folder), rules.limits) as connection,
    ):
        duckdb_file.attach(connection, database, _LABELS)
        names = label_tables.names(connection, _LABELS)
        if name not in names:
            raise InputError(
                f"{database} has no labels of the name {name}{did_you_mean(name, names)}; it has: "
                f"{', '.join(names) or 'none'}. To import codings: hpc gold FILE --as {name}"
            )
        columns = tuple(label_columns(connection, name, _LABELS).values())
        listed = ", ".join(["uri", "text", *(quoted(column.name) for column in columns)])
        query = (
            f"SELECT {listed} FROM {_LABELS}.{quoted(labels_table(name))} "
            f"WHERE was_successfully_labeled ORDER BY {rules.order} LIMIT "
        )
        rows = _take(lambda most: connection.execute(f"{query}{most}").fetchall(), rules)
    if not rows:
        raise InputError(f"{database}: {name} has no labeled posts")
    names_of_columns = [column.name for column in columns]
    gold = GoldLabels(
        name=name,
        columns=columns,
        values={row[0]: dict(zip(names_of_columns, row[2:], strict=True)) for row in rows},
    )
    return TrialPosts(
        posts=tuple(Post(row[0], row[1]) for row in rows),
        origin=f"{database}, labels of {name}",
        gold=gold,
    )


_Row = Sequence[Any]


def _take(read: Callable[[int], list[tuple[Any, ...]]], rules: DrawRules) -> list[_Row]:
    """Return the first rows whose texts can be sent, each text once.

    Args:
        read: returns this many rows, in the order of the draw: uri, text, and others.
        rules: how many to take.
    """
    most = 2 * rules.count + _SPARE
    while True:
        rows = read(most)
        chosen = _choose(rows, rules)
        if len(chosen) == rules.count or len(rows) < most:
            return chosen
        most *= 10


def _choose(rows: Iterable[_Row], rules: DrawRules) -> list[_Row]:
    chosen: list[_Row] = []
    uris: set[str] = set()
    texts: set[str] = set()
    for row in rows:
        uri, text = row[0], row[1]
        is_sent = not is_too_short(text, max(1, rules.min_text_length))
        if len(chosen) < rules.count and is_sent and uri not in uris and text not in texts:
            chosen.append(row)
            uris.add(uri)
            texts.add(text)
    return chosen
