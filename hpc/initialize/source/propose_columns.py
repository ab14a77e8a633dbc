"""Propose which columns hold the uri, the text and the time of a post, and why. Pure."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from hpc.initialize.source.facts import ColumnFacts, SourceFacts, TableFacts
from pipeline.text import listed

# A weaker proposal is shown, but is no default.
_CONVINCING = 40
_SHARE_OF_TIMES = 0.9
_LONGEST_URI = 300
_PROSE_LENGTH = 20

_URI_NAMES = {
    "uri": 100, "post_uri": 95, "at_uri": 95,
    **dict.fromkeys(("id", "post_id", "postid", "tweet_id", "status_id", "message_id"), 70),
    **dict.fromkeys(("comment_id", "id_str", "guid", "uuid", "doc_id", "document_id"), 65),
    **dict.fromkeys(("item_id", "record_id", "text_id", "key", "permalink", "cid"), 60),
    "url": 50,
}  # fmt: skip
_TEXT_NAMES = {
    "text": 100, "full_text": 95, "post_text": 95, "tweet_text": 95,
    **dict.fromkeys(("body", "content", "message", "tweet", "selftext"), 80),
    **dict.fromkeys(("post", "comment", "sentence", "utterance", "review"), 70),
    **dict.fromkeys(("caption", "document", "abstract", "statement"), 60),
    **dict.fromkeys(("description", "title", "headline", "summary"), 40),
}  # fmt: skip
_TIME_NAMES = {
    "preprocessing_timestamp": 100,
    **dict.fromkeys(("preprocessed_at", "synctimestamp", "ingested_at", "inserted_at"), 90),
    **dict.fromkeys(("indexed_at", "collected_at", "seen_at", "fetched_at", "added_at"), 85),
    **dict.fromkeys(("timestamp", "crawled_at", "retrieved_at", "scraped_at"), 80),
    **dict.fromkeys(("created_at", "createdat", "posted_at", "published_at"), 70),
    **dict.fromkeys(("datetime", "date", "time", "created", "published"), 65),
}  # fmt: skip
# A time that changes later, or that many posts share, orders posts badly.
_POOR_TIMES = re.compile(r"update|edit|modif|delete|birth|filter|partition|expire", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A column for one of the three roles."""

    column: str
    score: int
    """How well it fits, 0 and more."""
    why: str
    """What speaks for it, as a phrase."""

    @property
    def is_convincing(self) -> bool:
        """Whether it can be taken without asking."""
        return self.score >= _CONVINCING


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """The best proposals for a table; None for a role that no column fits."""

    uri: Proposal | None
    text: Proposal | None
    time: Proposal | None

    @property
    def rank(self) -> tuple[int, int]:
        """How well the table fits: its convincing proposals, and the sum of their scores."""
        convincing = [each for each in (self.uri, self.text, self.time) if each]
        convincing = [each for each in convincing if each.is_convincing]
        return len(convincing), sum(each.score for each in convincing)


def propose_columns(table: TableFacts) -> Columns:
    """Return the columns that look like uri, text and time, by their names and sampled values."""
    time = _best(table.columns, _score_time, taken=())
    text = _best(table.columns, _score_text, taken=_names(time))
    uri = _best(table.columns, _score_uri, taken=_names(time, text))
    return Columns(uri=uri, text=text, time=time)


def propose_table(tables: Sequence[TableFacts]) -> TableFacts | None:
    """Return the table that looks most like posts; None if none does, or several do equally."""
    ranks = {table.name: propose_columns(table).rank for table in tables}
    best = _single_best(ranks)
    return next((table for table in tables if table.name == best), None) if best else None


def propose_source(sources: Sequence[SourceFacts]) -> SourceFacts | None:
    """Return the source that looks most like posts; None if none does, or several do equally."""
    ranks = {
        each.source: max((propose_columns(table).rank for table in each.tables), default=(0, 0))
        for each in sources
    }
    best = _single_best(ranks)
    return next((each for each in sources if each.source == best), None)


def _single_best(
    ranks: Mapping[str | None, tuple[int, int]] | Mapping[str, tuple[int, int]],
) -> str | None:
    if not ranks:
        return None
    highest = max(ranks.values())
    names = [name for name, rank in ranks.items() if rank == highest]
    return names[0] if len(names) == 1 and (highest[0] > 0 or len(ranks) == 1) else None


def _names(*proposals: Proposal | None) -> tuple[str, ...]:
    return tuple(each.column for each in proposals if each)


_Score = Callable[[ColumnFacts], tuple[int, list[str]]]


def _best(columns: Sequence[ColumnFacts], score: _Score, taken: Collection[str]) -> Proposal | None:
    best: Proposal | None = None
    for column in columns:
        if column.name in taken:
            continue
        points, reasons = score(column)
        if points > (best.score if best else 0):
            best = Proposal(column=column.name, score=points, why=f"it {listed(reasons)}")
    return best


def _plain(name: str) -> str:
    """Return the last part of a name in lower case, with an underscore between its words."""
    last = name.rsplit(".", 1)[-1].strip('" ')
    return re.sub(r"[\s-]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", last)).lower()


def _by_name(column: ColumnFacts, names: Mapping[str, int]) -> int:
    plain = _plain(column.name)
    points = names.get(plain, names.get(plain.replace("_", ""), 0))
    # A field inside a record comes after a column of the same name.
    return points - 5 if points and "." in column.name else points


def _score_uri(column: ColumnFacts) -> tuple[int, list[str]]:
    is_value = not (column.nested or column.fractions)
    is_complete = column.filled == column.sampled and column.distinct == column.filled
    is_short = column.mean_length <= _LONGEST_URI and column.sentences * 2 <= column.filled
    if not (is_value and is_complete and is_short) or _are_times(column):
        return 0, []
    points = _by_name(column, _URI_NAMES)
    if not points and re.search(r"(_id|_uri|_key)$", _plain(column.name)):
        points = 45
    reasons = [f"is called {column.name}"] if points else []
    if column.is_unique:
        points += 20
        reasons.append("is declared unique")
    if column.example.startswith("at://"):
        points += 30
        reasons.append("holds at:// addresses")
    if column.filled:
        points += 5
        reasons.append(_in_sampled("a different value", column.filled, column.filled))
    return points, reasons


def _score_text(column: ColumnFacts) -> tuple[int, list[str]]:
    is_text = column.filled > 0 and not column.nested and column.numbers * 2 < column.filled
    may_be_text = is_text or not column.sampled
    if not may_be_text or _are_times(column):
        return 0, []
    points = _by_name(column, _TEXT_NAMES)
    if not points and re.search(r"text|content|body", _plain(column.name)):
        points = 50
    reasons = [f"is called {column.name}"] if points else []
    is_prose = column.sentences * 2 > column.filled
    if is_prose:
        points += 20 + min(20, int(column.mean_length / 10))
        if not reasons and column.mean_length >= _PROSE_LENGTH:
            points += 20  # no name says so, but nothing else looks like this
        reasons.append(f"holds sentences of {column.mean_length:.0f} characters on average")
    return points, reasons


def _score_time(column: ColumnFacts) -> tuple[int, list[str]]:
    points = _by_name(column, _TIME_NAMES)
    reasons = [f"is called {column.name}"] if points else []
    if not column.sampled and points:
        return points, reasons
    if not _are_times(column):
        return 0, []
    if not points:
        points = 50 if re.search(r"time|date|_at$|_on$", _plain(column.name)) else 45
    if _POOR_TIMES.search(column.name):
        points = min(points, 42) if "preprocess" not in column.name.lower() else points
    reasons.append(_in_sampled("a time", column.times, column.sampled))
    if column.times < column.sampled:
        reasons.append("needs a backlog.where that leaves out the rows without one")
    return points, reasons


def _are_times(column: ColumnFacts) -> bool:
    return column.filled > 0 and column.times >= _SHARE_OF_TIMES * column.filled


def _in_sampled(what: str, number: int, of: int) -> str:
    """Return in how many of the sampled rows with a value something is the case."""
    if of == 1:
        return "has a value that fits"
    return (
        f"has {what} in {f'all {of:,}' if number == of else f'{number:,} of {of:,}'} sampled rows"
    )
