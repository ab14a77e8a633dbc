"""Describe how fast answers came, beside the quota. Pure."""

from hpc.figures.charts import Series, TimeBars
from hpc.html_report.elements import Element, Figure, Paragraph, Section, Table, figures
from hpc.html_report.facts import Quota, RunFacts, RunSpeed, SpeedStep, SubjectFacts
from hpc.html_report.wording import format_share, format_time
from pipeline.text import counted, format_duration

MOST_CHARTS, MOST_ROWS = 3, 50
_MINUTE = 60
# A quota that is many times higher would leave nothing of the bars.
_LEAST_SHARE_OF_QUOTA = 0.05


def describe_speed(facts: SubjectFacts, steps: dict[str, tuple[SpeedStep, ...]]) -> Section:
    """Return the speed of each run.

    Args:
        facts: of the name.
        steps: by run, all its steps, also those without an answer.
    """
    runs = {run.run_id: run for run in facts.runs}
    speeds = list(facts.speeds)
    elements: list[Element] = []
    if not speeds:
        elements.append(Paragraph("There are no answers of a classifier yet."))
    else:
        elements.append(
            Paragraph(
                "Counts the answers of the classifier, by their time. Posts that share an answer, "
                "and posts without a text to send, are not counted."
            )
        )
        shown = [each for each in speeds[-MOST_CHARTS:] if len(steps[each.run_id]) > 1]
        elements += figures(
            [_figure(each, runs[each.run_id], steps[each.run_id]) for each in shown]
        )
        listed = speeds[-MOST_ROWS:]
        elements.append(_table(listed, runs))
        if any(each.seconds < _MINUTE and runs[each.run_id].quota for each in listed):
            elements.append(
                Paragraph(
                    "A quota holds for a minute, so a run of less than a minute has no share of it."
                )
            )
    return Section(title="Throughput", anchor="throughput", elements=tuple(elements))


def _figure(speed: RunSpeed, run: RunFacts, steps: tuple[SpeedStep, ...]) -> Figure:
    rates = tuple(step.answers * _MINUTE / speed.step_s for step in steps)
    quota = run.quota.posts if run.quota else None
    # A service counts requests by the minute, so a few seconds may well be above the line.
    is_drawn = (
        quota is not None
        and speed.step_s >= _MINUTE
        and max(rates) >= _LEAST_SHARE_OF_QUOTA * quota
    )
    return Figure(
        chart=TimeBars(
            title="Answers per minute",
            starts=tuple(step.start for step in steps),
            width_s=float(speed.step_s),
            series=(Series(name="answers", values=rates),),
            height="posts per minute",
            line=float(quota) if is_drawn and quota else None,
            line_name="quota",
        ),
        description=(
            f"Run {speed.run_id}: {counted(speed.asked, 'answer')} in "
            f"{format_duration(speed.seconds)}. {_quota(run, speed)}"
        ),
        table=Table(
            caption=f"Answers of run {speed.run_id}",
            header=("from", "answers", "per minute"),
            rows=tuple(
                (f"{step.start:%Y-%m-%d %H:%M:%S} UTC", f"{step.answers:,}", f"{rate:,.0f}")
                for step, rate in zip(steps, rates, strict=True)
            ),
            numbers=frozenset({1, 2}),
        ),
    )


def _quota(run: RunFacts, speed: RunSpeed) -> str:
    if run.quotas == (None,):
        return "No quota was set."
    busiest = f"the busiest minute had {counted(speed.busiest_minute, 'answer')}"
    quotas = ", then ".join(map(_requests, run.quotas))
    if len(run.quotas) > 1:
        return f"The quota was corrected while the run was under way: {quotas}; {busiest}."
    return f"The quota was {quotas}; {busiest}."


def _requests(quota: Quota | None) -> str:
    if quota is None:
        return "none"
    posts = f", which is {quota.posts:,} posts" if quota.posts != quota.requests else ""
    return f"{quota.requests:,} requests a minute{posts}"


def _posts(quotas: tuple[Quota | None, ...]) -> str:
    return ", then ".join(f"{quota.posts:,}" if quota else "none" for quota in quotas)


def _table(speeds: list[RunSpeed], runs: dict[str, RunFacts]) -> Table:
    return Table(
        caption="Speed of each run",
        header=("run", "first answer", "answers", "time", "a minute", "quota", "share of quota"),
        rows=tuple(
            (
                each.run_id,
                format_time(each.steps[0].start),
                f"{each.asked:,}",
                format_duration(each.seconds),
                f"{_rate(each):,.0f}",
                _posts(runs[each.run_id].quotas),
                _share_of_quota(each, runs[each.run_id].quota),
            )
            for each in speeds
        ),
        numbers=frozenset({2, 3, 4, 5, 6}),
    )


def _share_of_quota(speed: RunSpeed, quota: Quota | None) -> str:
    """Return how much of the quota was used; a dash where less than a minute was measured."""
    if quota is None or speed.seconds < _MINUTE:
        return "–"
    return format_share(_rate(speed), quota.posts)


def _rate(speed: RunSpeed) -> float:
    """Return how many answers came in a minute, on average; a short run counts as a second."""
    return speed.asked * _MINUTE / max(speed.seconds, 1.0)
