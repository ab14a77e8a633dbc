"""Describe how tasks ended: a timeline by attempt and cause, and the counts. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from hpc.figures.charts import Row, Series, Span, TimeBars, Timeline, Tone
from hpc.html_report.elements import Element, Figure, Paragraph, Section, Table
from hpc.html_report.facts import AttemptFacts, Outcome, RunFacts, SubjectFacts
from hpc.html_report.wording import format_time
from pipeline.errors import Cause
from pipeline.text import counted, format_duration

# Few colors stand for many causes, so that they stay apart for every reader. The table has each.
TONES: Mapping[str, Tone] = {
    Outcome.PUBLISHED: Tone.THIRD,
    Outcome.UNDER_WAY: Tone.FIRST,
    Outcome.UNKNOWN: Tone.GRAY,
    Cause.OUT_OF_MEMORY: Tone.SECOND,
    Cause.TIMEOUT: Tone.FIFTH,
    Cause.NODE: Tone.GRAY,
    Cause.ENVIRONMENT: Tone.FOURTH,
    Cause.PREEMPTED: Tone.GRAY,
    Cause.CRASHED: Tone.FOURTH,
    Cause.THROTTLED: Tone.FIFTH,
    Cause.UNAVAILABLE: Tone.FIFTH,
    Cause.NO_OUTPUT: Tone.FOURTH,
    Cause.LOST: Tone.GRAY,
    Cause.CANCELLED: Tone.GRAY,
    Cause.REFUSED: Tone.FOURTH,
}
MOST_ROWS = 40
"""Of a timeline; more shards are counted instead."""
MOST_RUNS = 3
"""That get charts of their own, the newest ones."""
STEPS = 60
_LEAST_STEP_S = 1.0


def describe_tasks(facts: SubjectFacts) -> Section:
    """Return how tasks ended."""
    elements: list[Element] = []
    if not facts.attempts:
        elements.append(Paragraph("No task has been recorded."))
    else:
        elements.append(_outcomes(facts.attempts))
        for run in facts.runs[-MOST_RUNS:]:
            attempts = [each for each in facts.attempts if each.run_id == run.run_id]
            elements += _timelines(run, attempts, facts.generated_at)
        if len(facts.runs) > MOST_RUNS:
            elements.append(
                Paragraph(f"Charts show the newest {MOST_RUNS} of {len(facts.runs):,} runs.")
            )
    return Section(title="Tasks", anchor="tasks", elements=tuple(elements))


def _outcomes(attempts: Sequence[AttemptFacts]) -> Table:
    """Return how many attempts ended in which way, by the number of the attempt."""
    counts = Counter((each.outcome, min(each.number, 4)) for each in attempts)
    outcomes = Counter(each.outcome for each in attempts)
    return Table(
        caption="Attempts by how they ended",
        header=("outcome", "first", "second", "third", "later", "all"),
        rows=tuple(
            (
                outcome.replace("_", " "),
                *(f"{counts[outcome, number]:,}" for number in range(1, 5)),
                f"{total:,}",
            )
            for outcome, total in outcomes.most_common()
        ),
        numbers=frozenset(range(1, 6)),
    )


def _timelines(run: RunFacts, attempts: Sequence[AttemptFacts], now: datetime) -> Iterable[Element]:
    spans = [(each, span) for each in attempts if (span := _span(each, now))]
    if not spans:
        return ()
    if len({each.shard for each, _ in spans}) <= MOST_ROWS:
        return (_timeline(run, spans),)
    return tuple(_count_running(run, spans))


def _span(attempt: AttemptFacts, now: datetime) -> tuple[datetime, datetime] | None:
    """Return from when to when an attempt ran; None where that is not known."""
    start, end = attempt.started_at, attempt.ended_at
    if start is None:
        return None
    if end is None and attempt.elapsed_s is not None:
        end = start + timedelta(seconds=attempt.elapsed_s)
    if end is None and attempt.outcome == Outcome.UNDER_WAY:
        end = now
    return (start, max(start, end)) if end else None


_Spans = Sequence[tuple[AttemptFacts, tuple[datetime, datetime]]]


def _timeline(run: RunFacts, spans: _Spans) -> Figure:
    by_shard: dict[int, list[tuple[AttemptFacts, tuple[datetime, datetime]]]] = {}
    for attempt, span in spans:
        by_shard.setdefault(attempt.shard, []).append((attempt, span))
    rows = tuple(
        Row(
            name=f"shard {shard}",
            spans=tuple(
                Span(start=start, end=end, tone=_tone(attempt.outcome))
                for attempt, (start, end) in sorted(ran, key=lambda each: each[1])
            ),
        )
        for shard, ran in sorted(by_shard.items())
    )
    title = f"Tasks of run {run.run_id}"
    return Figure(
        chart=Timeline(title=title, rows=rows, legend=_legend(spans)),
        description=(
            f"{counted(len(spans), 'attempt')} of {counted(len(rows), 'shard')}; {_when(spans)}."
        ),
        table=Table(
            caption=title,
            header=("shard", "attempt", "outcome", "started", "ran for"),
            rows=tuple(
                (
                    str(attempt.shard),
                    str(attempt.number),
                    attempt.outcome.replace("_", " "),
                    format_time(start),
                    format_duration((end - start).total_seconds()),
                )
                for attempt, (start, end) in spans
            ),
            numbers=frozenset({0, 1}),
        ),
    )


def _count_running(run: RunFacts, spans: _Spans) -> Iterable[Figure]:
    """Yield how many tasks ran over time, for each number of attempt."""
    start = min(span[0] for _, span in spans)
    end = max(span[1] for _, span in spans)
    step = max((end - start).total_seconds() / STEPS, _LEAST_STEP_S)
    starts = tuple(start + timedelta(seconds=step * number) for number in range(STEPS))
    for number, words in ((1, "first attempts"), (2, "second attempts"), (3, "later attempts")):
        chosen = [each for each in spans if min(each[0].number, 3) == number]
        if not chosen:
            continue
        at_work = count_at_work(
            [(_tone(attempt.outcome), span) for attempt, span in chosen], start, step
        )
        names = {tone: name for name, tone in _legend(chosen)}
        series = tuple(
            Series(name=names[tone], values=tuple(map(float, counts)), tone=tone)
            for tone, counts in at_work.items()
        )
        title = f"Tasks of run {run.run_id}, {words}"
        yield Figure(
            chart=TimeBars(
                title=f"Tasks at work, {words}",
                starts=starts,
                width_s=step,
                series=series,
                height="tasks",
            ),
            description=(
                f"Run {run.run_id}: {counted(len(chosen), 'attempt')}; {_when(chosen)}. A color "
                "says how they ended."
            ),
            table=Table(
                caption=title,
                header=("from", *(each.name for each in series)),
                rows=tuple(
                    (format_time(at), *(f"{each.values[place]:,.0f}" for each in series))
                    for place, at in enumerate(starts)
                ),
                numbers=frozenset(range(1, len(series) + 1)),
            ),
        )


def count_at_work(
    spans: Iterable[tuple[Tone, tuple[datetime, datetime]]], start: datetime, step: float
) -> dict[Tone, list[int]]:
    """Count the tasks that ran at any time of each of STEPS steps, by color.

    Args:
        spans: the color of each task, and from when to when it ran.
        start: of the first step.
        step: how long each is, in seconds.
    """
    changes: dict[Tone, list[int]] = {}
    for tone, (began, ended) in spans:
        change = changes.setdefault(tone, [0] * (STEPS + 1))
        first = min(int((began - start).total_seconds() / step), STEPS - 1)
        last = min(int((ended - start).total_seconds() / step), STEPS - 1)
        change[first] += 1
        change[last + 1] -= 1
    counts = {}
    for tone, change in sorted(changes.items()):
        at_work, total = [], 0
        for number in change[:STEPS]:
            total += number
            at_work.append(total)
        counts[tone] = at_work
    return counts


def _legend(spans: _Spans) -> tuple[tuple[str, Tone], ...]:
    """Return what each color stands for here."""
    outcomes: dict[Tone, list[str]] = {}
    for outcome in sorted({attempt.outcome for attempt, _ in spans}):
        outcomes.setdefault(_tone(outcome), []).append(outcome.replace("_", " "))
    return tuple((", ".join(names), tone) for tone, names in sorted(outcomes.items()))


def _tone(outcome: str) -> Tone:
    return TONES.get(outcome, Tone.GRAY)


def _when(spans: _Spans) -> str:
    start = min(span[0] for _, span in spans)
    end = max(span[1] for _, span in spans)
    return f"from {format_time(start)}, for {format_duration((end - start).total_seconds())}"
