"""What the page measures, checked against simple definitions, for any numbers and times."""

import itertools
import math
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.display.html.markup import escape, tag
from hpc.figures.charts import TimeBars, Tone
from hpc.html_report.elements import Figures, Paragraph, Table
from hpc.html_report.facts import (
    HiddenColumn,
    LabelColumn,
    NumberColumn,
    Outcome,
    Period,
    RunSpeed,
    SpeedStep,
)
from hpc.html_report.labeling_setup import without_paths
from hpc.html_report.methods import describe_methods
from hpc.html_report.observe.labels_view import labels_view
from hpc.html_report.observe.read_columns import choose_edges, read_columns
from hpc.html_report.observe.read_counts import (
    MOST_PERIODS,
    OTHER_REASON,
    choose_period,
    read_counts,
)
from hpc.html_report.observe.read_courses import interval_of_mean, interval_of_share
from hpc.html_report.observe.read_speed import MOST_STEPS, choose_step
from hpc.html_report.sections.resources import describe_costs
from hpc.html_report.sections.speed import describe_speed
from hpc.html_report.sections.tasks import STEPS, TONES, count_at_work
from hpc.html_report.wording import odd_times
from pipeline.database import duckdb_file
from pipeline.errors import Cause
from tests.hpc.html_report.hostile_page import hostile_facts

NUMBERS = st.floats(-1e100, 1e100)
START = datetime(2024, 5, 1)
NOW = datetime(2026, 6, 1)


@given(st.lists(NUMBERS, min_size=1), st.booleans())
def test_every_number_lies_between_the_edges(numbers: list[float], round_them: bool) -> None:
    chosen = [float(round(number)) for number in numbers] if round_them else numbers
    edges = choose_edges(min(chosen), max(chosen), is_whole=round_them)
    assert all(after > before for before, after in itertools.pairwise(edges))
    slack = (edges[1] - edges[0]) * 1e-6
    assert edges[0] - slack <= min(chosen)
    assert max(chosen) <= edges[-1] + slack


@given(st.datetimes(), st.datetimes())
def test_no_more_periods_lie_between_two_times_than_fit(one: datetime, other: datetime) -> None:
    first, last = sorted((one, other))
    period = choose_period(first, last)
    days = {Period.DAY: 1, Period.WEEK: 7, Period.MONTH: 30.44}.get(period)
    assert days is None or (last - first).days / days <= MOST_PERIODS


@given(st.floats(0, 1e9))
def test_steps_cover_any_time_and_are_no_more_than_fit(seconds: float) -> None:
    assert seconds / choose_step(seconds) <= MOST_STEPS


@given(st.floats(120, 1e9))
def test_steps_are_as_long_as_the_period_of_a_quota_where_enough_of_them_fit(
    seconds: float,
) -> None:
    assert choose_step(seconds) >= 60


@pytest.mark.parametrize(
    ("seconds", "step", "share", "line"), [(4.0, 1, "–", None), (180.0, 60, "11.1%", 600.0)]
)
def test_a_run_of_less_than_a_minute_is_not_compared_with_its_quota(
    seconds: float, step: int, share: str, line: float | None
) -> None:
    facts = hostile_facts(runs=1)
    steps = tuple(
        SpeedStep(start=START + timedelta(seconds=step * number), answers=100)
        for number in range(2)
    )
    speed = RunSpeed(
        run_id=facts.runs[0].run_id, step_s=step, steps=steps, asked=200, seconds=seconds,
        busiest_minute=200,
    )  # fmt: skip
    section = describe_speed(replace(facts, speeds=(speed,)), {speed.run_id: steps})
    (table,) = (each for each in section.elements if isinstance(each, Table))
    assert table.rows[0][-1] == share
    (charts,) = (each for each in section.elements if isinstance(each, Figures))
    (figure,) = charts.figures
    assert isinstance(figure.chart, TimeBars)
    assert figure.chart.line == line


def test_the_page_says_whether_a_price_is_missing() -> None:
    facts = replace(hostile_facts(), costs=())
    free = replace(facts, runs=tuple(replace(run, price=None) for run in facts.runs))
    (priced,) = describe_costs(facts).elements
    (unpriced,) = describe_costs(free).elements
    assert isinstance(priced, Paragraph)
    assert isinstance(unpriced, Paragraph)
    assert ("no price" in priced.text, "no price" in unpriced.text) == (False, True)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0.1, 1e4)), min_size=10, max_size=30))
def test_the_interval_of_a_mean_is_that_of_hajeks_estimator(
    pairs: list[tuple[float, float]],
) -> None:
    total = sum(weight for _, weight in pairs)
    mean = sum(weight * value for value, weight in pairs) / total
    sums = (
        total,
        sum(weight**2 for _, weight in pairs),
        sum(weight**2 * value for value, weight in pairs),
        sum(weight**2 * value**2 for value, weight in pairs),
    )
    interval = interval_of_mean(len(pairs), mean, sums)
    assert interval
    count = len(pairs)
    variance = sum((weight * (value - mean) / total) ** 2 for value, weight in pairs)
    reach = 1.959964 * math.sqrt(variance * count / (count - 1))
    scale = max(abs(value) for value, _ in pairs) + 1
    assert interval[0] == pytest.approx(mean - reach, abs=1e-5 * scale)
    assert interval[1] == pytest.approx(mean + reach, abs=1e-5 * scale)
    assert interval_of_mean(9, mean, sums) is None


@given(st.integers(10, 10**6), st.floats(0, 1), st.floats(1, 1e6))
def test_the_interval_of_a_share_holds_it_and_stays_between_0_and_1(
    posts: int, share: float, effective: float
) -> None:
    interval = interval_of_share(posts, share, effective)
    assert interval
    assert 0 <= interval[0] <= share + 1e-9
    assert share - 1e-9 <= interval[1] <= 1


SPANS = st.lists(
    st.tuples(st.sampled_from([*Tone]), st.floats(0, 3600), st.floats(0, 3600)), max_size=30
)


@given(SPANS)
def test_tasks_at_work_are_counted_in_every_step_that_they_touch(
    spans: list[tuple[Tone, float, float]],
) -> None:
    step = 60.0
    times = [
        (tone, (START + timedelta(seconds=begin), START + timedelta(seconds=begin + length)))
        for tone, begin, length in spans
    ]
    counted = count_at_work(times, START, step)
    for tone, counts in counted.items():
        for number, count in enumerate(counts):
            assert count == sum(
                min(int((start - START).total_seconds() / step), STEPS - 1)
                <= number
                <= min(int((end - START).total_seconds() / step), STEPS - 1)
                for each, (start, end) in times
                if each is tone
            )


def test_every_outcome_has_a_color() -> None:
    assert TONES.keys() == {*Cause, *Outcome}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/ana/models/tiny", "…/tiny"),
        ("folder ~/models/tiny, /data/x/y", "folder …/tiny, …/y"),
        ("https://api.example.org/v1/chat", "https://api.example.org/v1/chat"),
        ("unitary/toxic-bert@4d6c22e", "unitary/toxic-bert@4d6c22e"),
        ("positive/negative and/or", "positive/negative and/or"),
    ],
)
def test_paths_lose_their_folders_and_addresses_do_not(text: str, shown: str) -> None:
    assert without_paths(text) == shown


@given(st.text(), st.text())
def test_a_text_never_becomes_markup(text: str, value: str) -> None:
    written = tag("p", text, attributes={"title": value})
    assert written.count("<") == written.count(">") == 2
    assert '"' not in escape(value)


HOSTILE_TABLE = """
CREATE TABLE labels_hostile AS SELECT
  'u' || i AS uri, 'the text of post number ' || i AS text,
  CASE WHEN i < 3 THEN TIMESTAMP '0001-01-01' WHEN i < 5 THEN TIMESTAMP '9999-12-31 23:59:59'
    WHEN i = 6 THEN 'infinity'::TIMESTAMP WHEN i = 7 THEN '-infinity'::TIMESTAMP
    WHEN i = 8 THEN TIMESTAMP '0044-03-15 (BC)'
    ELSE TIMESTAMP '2020-01-01' + to_days(i::INT) END AS preprocessing_timestamp,
  i % 10 <> 0 AS was_successfully_labeled,
  CASE WHEN i = 0 THEN 'the text of post number 0' WHEN i % 10 = 0 THEN 'invalid: secret' END
    AS reason,
  TIMESTAMP '2026-01-01' + to_seconds(i) AS label_timestamp,
  1e308::DOUBLE AS huge, CASE WHEN i % 2 = 0 THEN 'nan'::DOUBLE ELSE 'inf'::DOUBLE END AS never,
  5e-324::DOUBLE * i AS tiny, (9007199254740993 + i)::BIGINT AS big, 3.5::DOUBLE AS constant,
  'the text of post number ' || i AS quote, 'number ' || (i % 3) AS short,
  'the text of post number' AS part, '["a"]' AS list, 'r' AS run_id, 0 AS shard_index,
  1 AS attempt, 'm' AS model, 'h' AS config_hash FROM range(100) AS posts(i)
"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "labels.duckdb"
    with duckdb_file.open_database(path) as connection:
        connection.execute(HOSTILE_TABLE)
    return path


def columns_of(connection: duckdb.DuckDBPyConnection) -> dict[str, LabelColumn]:
    found = read_columns(connection, Period.YEAR, {"short"})
    return {column.name: column for column in found}


def test_numbers_that_cannot_be_averaged_and_texts_that_quote_are_not_shown(hostile: Path) -> None:
    with labels_view(hostile, "hostile", run_id="", weights=None, until=NOW) as connection:
        assert connection
        columns = columns_of(connection)
        counts = read_counts(connection, NOW)
    hidden = {name for name, each in columns.items() if isinstance(each, HiddenColumn)}
    assert hidden == {"huge", "never", "quote", "short", "part", "list"}
    for name in ("tiny", "big", "constant"):
        column = columns[name]
        assert isinstance(column, NumberColumn)
        assert sum(column.counts) == 90
        assert math.isfinite(column.mean)
    # A reason that is no word may quote a post too.
    assert dict(counts.reasons) == {"invalid": 9, OTHER_REASON: 1}
    assert len(counts.post_periods) <= MOST_PERIODS


def test_posts_whose_times_cannot_be_right_are_counted_and_have_no_place_in_time(
    hostile: Path, tmp_path: Path
) -> None:
    until = datetime(2020, 1, 31)
    waiting = tmp_path / "waiting.parquet"
    duckdb.sql(
        "SELECT unnest([TIMESTAMP '2020-01-31', TIMESTAMP '2031-01-01', NULL, "
        "TIMESTAMP '1970-01-01']) "
        "AS preprocessing_timestamp"
    ).write_parquet(str(waiting))
    with labels_view(hostile, "hostile", run_id="", weights=None, until=until) as connection:
        assert connection
        counts = read_counts(connection, until, [str(waiting)])
        columns = columns_of(connection)
    assert counts.last_post == until
    # Days 31 to 99, two of the year 9999, one that is infinite, and one that has no row yet.
    assert counts.later_posts == 69 + 2 + 1 + 1
    # Three of the year 1, one of minus infinity, one before Christ, and one that has no row yet.
    assert counts.early_posts == 3 + 1 + 1 + 1
    assert counts.first_post == datetime(2020, 1, 6)
    said = odd_times(counts)
    assert "73 posts" in said
    assert "6 posts" in said
    assert max(each.start for each in counts.post_periods).year == 2020
    assert sum(each.missing for each in counts.post_periods) == 1
    constant = columns["constant"]
    assert isinstance(constant, NumberColumn)
    assert max(point.start for point in constant.course.points).year == 2020
    assert constant.posts == 90


@pytest.mark.parametrize("runs", [1, 2])
def test_the_methods_say_whether_a_text_may_have_several_answers(runs: int) -> None:
    paragraph = describe_methods(hostile_facts(runs=runs))
    assert "12 labels were copied" in paragraph
    assert ("the same text may have different labels" in paragraph) == (runs > 1)
