"""No timestamp and no clock decides which of the other posts are labeled."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.database.tables import CREATE_TABLES
from pipeline.database.watermark import read_watermark

NIGHT = timedelta(days=1)
FIRST_NIGHT = datetime(2024, 5, 31)
HOUR = timedelta(hours=1)


@dataclass
class Nights:
    """A backlog whose new posts become a run every night, as `submit` plans it."""

    database: duckdb.DuckDBPyConnection
    posts: list[datetime] = field(default_factory=list)
    runs_of_post: dict[int, int] = field(default_factory=dict)
    runs: int = 0
    texts: int = 0
    """How many texts all posts share; 0 if each has its own. Posts of one text stay together."""

    def text_of(self, number: int) -> int:
        return number % self.texts if self.texts else number

    def arrive(self, stamps: Sequence[datetime]) -> range:
        first = len(self.posts)
        self.posts += stamps
        return range(first, len(self.posts))

    def submit(self, clock: datetime, *, rows_per_shard: int) -> datetime | None:
        """Take every unlabeled post since the watermark; return the watermark."""
        since = read_watermark(self.database, "name", None, clock)
        taken = [
            number
            for number, stamp in enumerate(self.posts)
            if number not in self.runs_of_post and (since is None or stamp >= since)
        ]
        first: dict[int, datetime] = {}
        for number in sorted(taken, key=lambda number: self.posts[number]):
            first.setdefault(self.text_of(number), self.posts[number])
        taken.sort(key=lambda n: (first[self.text_of(n)], self.text_of(n), self.posts[n]))
        self.runs += 1
        self.database.execute(
            "INSERT INTO runs VALUES (?, 'name', ?, '', 0, 0, '', '', '', NULL, NULL, NULL)",
            [str(self.runs), clock],
        )
        for index, begin in enumerate(range(0, len(taken), rows_per_shard)):
            shard = taken[begin : begin + rows_per_shard]
            stamps = [self.posts[number] for number in shard]
            self.database.execute(
                "INSERT INTO shards BY POSITION "
                "VALUES (?, ?, ?, ?, ?, 'planned', NULL, 0, NULL, NULL, NULL, NULL)",
                [str(self.runs), index, len(shard), min(stamps), max(stamps)],
            )
        self.runs_of_post.update(dict.fromkeys(taken, self.runs))
        return since

    def gather(self, *, first: int) -> None:
        """Gather all shards but the first ones of the newest run."""
        self.database.execute(
            "UPDATE shards SET gathered_at = now()::TIMESTAMP WHERE run_id <> ? "
            "OR shard_index >= ?",
            [str(self.runs), first],
        )


def opened() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(CREATE_TABLES)
    return connection


ANY_TIME = st.one_of(
    st.sampled_from([datetime(1, 1, 1), datetime(1970, 1, 1), datetime(2099, 1, 1)]),
    st.sampled_from([datetime(9999, 12, 31, 23, 59, 59, 999999)]),
    st.integers(-100, 200).map(lambda hours: FIRST_NIGHT + hours * HOUR),
)
HONEST_CLOCK = st.just(timedelta())
ANY_CLOCK = st.sampled_from([-400 * NIGHT, -NIGHT, timedelta(), HOUR, NIGHT, 27_000 * NIGHT])


NO_TIMES: st.SearchStrategy[list[datetime]] = st.just([])
Night = tuple[int, list[datetime], timedelta, int, int]


def night(
    odd: st.SearchStrategy[list[datetime]], clocks: st.SearchStrategy[timedelta]
) -> st.SearchStrategy[Night]:
    return st.tuples(
        st.integers(0, 3),  # posts of the last day
        odd,  # posts with other times
        clocks,  # by how much the submitting machine is ahead
        st.integers(1, 4),  # rows per shard
        st.integers(0, 2),  # shards that are not gathered before the next night
    )


TEXTS = st.sampled_from([0, 1, 3])


def label_every_night(nights: Sequence[Night], texts: int) -> Nights:
    """Play the nights; each honest post is in a run on the night that it arrives."""
    backlog = Nights(opened(), texts=texts)
    for number, (honest, odd, ahead, rows_per_shard, waiting) in enumerate(nights):
        now = FIRST_NIGHT + number * NIGHT
        arrived = backlog.arrive([now - HOUR * (hour + 1) for hour in range(honest)])
        backlog.arrive(odd)
        since = backlog.submit(now + ahead, rows_per_shard=rows_per_shard)
        assert all(backlog.runs_of_post.get(post) == backlog.runs for post in arrived)
        left_out = [p for p, _ in enumerate(backlog.posts) if p not in backlog.runs_of_post]
        assert all(since and backlog.posts[post] < since for post in left_out)
        backlog.gather(first=waiting)
    return backlog


@settings(max_examples=30)
@given(st.lists(night(st.lists(ANY_TIME, max_size=3), HONEST_CLOCK), max_size=5), TEXTS)
def test_no_timestamp_hides_the_posts_of_another_day(nights: list[Night], texts: int) -> None:
    label_every_night(nights, texts)


@settings(max_examples=30)
@given(st.lists(night(NO_TIMES, ANY_CLOCK), max_size=5), TEXTS)
def test_no_clock_hides_posts(nights: list[Night], texts: int) -> None:
    backlog = label_every_night(nights, texts)
    assert len(backlog.runs_of_post) == len(backlog.posts)


def test_a_shard_with_a_late_copy_counts_up_to_its_first_post() -> None:
    """The second shard of three is missing, and the first one ends with the newest post."""
    backlog = Nights(opened(), texts=3)
    backlog.arrive([FIRST_NIGHT + hour * HOUR for hour in range(6)])
    backlog.submit(FIRST_NIGHT + NIGHT, rows_per_shard=2)
    backlog.database.execute("UPDATE shards SET gathered_at = now() WHERE shard_index <> 1")
    since = read_watermark(backlog.database, "name", None, FIRST_NIGHT + NIGHT)
    assert since == FIRST_NIGHT


def test_a_clock_that_was_ahead_does_not_make_a_time_credible() -> None:
    """One machine stamped the posts and submitted them, with a clock that was a day ahead."""
    backlog = Nights(opened())
    backlog.arrive([FIRST_NIGHT, FIRST_NIGHT + NIGHT])
    backlog.submit(FIRST_NIGHT + NIGHT, rows_per_shard=1)
    backlog.gather(first=0)
    between = backlog.arrive([FIRST_NIGHT + HOUR])
    assert backlog.submit(FIRST_NIGHT + 2 * HOUR, rows_per_shard=1) == FIRST_NIGHT
    assert backlog.runs_of_post[between[0]] == 2
    backlog.gather(first=0)
    assert read_watermark(backlog.database, "name", None, FIRST_NIGHT + 2 * NIGHT) == (
        FIRST_NIGHT + NIGHT
    )
