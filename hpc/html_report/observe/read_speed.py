"""Measure how fast runs got their answers, and what these cost."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import duckdb

from hpc.html_report.facts import RunCosts, RunSpeed, SpeedStep
from hpc.html_report.observe.labels_view import VIEW, WEIGHT
from pipeline.model import KIND_TYPES, UNSENT, ColumnKind
from pipeline.sql import literal, quoted

MOST_STEPS = 90
_STEPS_S = (1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400, 604_800)
_MINUTE, _LEAST_MINUTES = 60, 2
_COST = KIND_TYPES[ColumnKind.COUNT].duckdb
_UNSENT = f"({', '.join(map(literal, UNSENT))})"


def read_speeds(connection: duckdb.DuckDBPyConnection, runs: Sequence[str]) -> tuple[RunSpeed, ...]:
    """Return the speed of each of these runs that got answers."""
    asked = _asked_condition(connection)
    spans = connection.execute(
        f"SELECT run_id, count(*), min(label_timestamp), max(label_timestamp) FROM {VIEW} "
        f"WHERE {asked} AND list_contains(?, run_id) GROUP BY 1",
        [list(runs)],
    ).fetchall()
    found = {}
    for run_id, count, first, last in spans:
        seconds = (last - first).total_seconds()
        step = choose_step(seconds)
        steps = _count_by_step(connection, run_id, step, asked)
        found[run_id] = RunSpeed(
            run_id=run_id,
            step_s=step,
            steps=tuple(SpeedStep(start=start, answers=answers) for start, answers in steps),
            asked=count,
            seconds=seconds,
            busiest_minute=max(
                answers for _, answers in _count_by_step(connection, run_id, 60, asked)
            ),
        )
    return tuple(found[run_id] for run_id in runs if run_id in found)


def choose_step(seconds: float) -> int:
    """Return the shortest step of which no more than MOST_STEPS cover a time, in seconds.

    It is a minute or more, like the period of a quota, unless that leaves too few steps.
    """
    least = _MINUTE if seconds >= _LEAST_MINUTES * _MINUTE else 1
    fitting = (step for step in _STEPS_S if step >= least and seconds / step < MOST_STEPS)
    return next(fitting, int(seconds / MOST_STEPS) + 1)


def fill_gaps(speed: RunSpeed) -> tuple[SpeedStep, ...]:
    """Return the steps of a run, with those in which nothing was answered."""
    answers = {step.start: step.answers for step in speed.steps}
    first, last = speed.steps[0].start, speed.steps[-1].start
    count = round((last - first).total_seconds() / speed.step_s) + 1
    starts = (first + timedelta(seconds=speed.step_s * number) for number in range(count))
    return tuple(SpeedStep(start=start, answers=answers.get(start, 0)) for start in starts)


def _asked_condition(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the condition on rows that somebody was asked about."""
    columns = {row[0] for row in connection.execute(f"DESCRIBE {VIEW}").fetchall()}
    copied = " AND copied_from IS NULL" if "copied_from" in columns else ""
    return f"(reason IS NULL OR reason NOT IN {_UNSENT}){copied}"


def _count_by_step(
    connection: duckdb.DuckDBPyConnection, run_id: str, step: int, asked: str
) -> list[tuple[datetime, int]]:
    return connection.execute(
        f"SELECT time_bucket(to_seconds({step}), label_timestamp) AS start, count(*) FROM {VIEW} "
        f"WHERE {asked} AND run_id = ? GROUP BY 1 ORDER BY 1",
        [run_id],
    ).fetchall()


def read_costs(connection: duckdb.DuckDBPyConnection) -> tuple[RunCosts, ...]:
    """Return what the answers of each run cost, where they say it."""
    columns = [
        row[0]
        for row in connection.execute(f"DESCRIBE {VIEW}").fetchall()
        if row[1] == _COST and row[0] != WEIGHT
    ]
    if not columns:
        return ()
    names = [quoted(column) for column in columns]
    rows = connection.execute(
        f"SELECT run_id, count({names[0]}), {', '.join(f'sum({name})' for name in names)} "
        f"FROM {VIEW} GROUP BY 1 ORDER BY 1"
    ).fetchall()
    costs = []
    for run_id, posts, *sums in rows:
        known: Mapping[str, int] = {
            column: int(total)
            for column, total in zip(columns, sums, strict=True)
            if total is not None
        }
        if known:
            costs.append(RunCosts(run_id=run_id, posts=posts, sums=known))
    return tuple(costs)
