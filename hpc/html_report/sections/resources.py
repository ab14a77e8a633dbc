"""Describe what tasks requested and what they used, and what the answers cost. Pure."""

from collections.abc import Callable, Sequence
from statistics import median

from hpc.display.run.usage import cost_of, format_money
from hpc.efficiency.sampled_memory import LEAST_SAMPLED_S, OWN_COUNT, SOURCE, is_short, peak_mb
from hpc.figures.charts import Histogram, Series
from hpc.html_report.elements import Element, Figure, Paragraph, Section, Table, figures
from hpc.html_report.facts import AttemptFacts, RunCosts, RunFacts, SubjectFacts
from hpc.html_report.wording import format_value
from pipeline.text import counted, format_duration, format_memory

_BINS = 20
_MIB_PER_GIB = 1024
MOST_ROWS = 50


def describe_resources(facts: SubjectFacts) -> Section:
    """Return requested and used memory, time and CPUs."""
    ended = [each for each in facts.attempts if each.elapsed_s is not None or each.max_rss_mb]
    elements: list[Element] = []
    if not ended:
        elements.append(Paragraph("The resources that tasks used are not recorded."))
    else:
        elements += [Paragraph(_source(ended)), _by_request(ended)]
        elements += figures(
            [
                figure
                for figure in (
                    _shares("Memory used", "% of the requested memory", ended, _memory_share),
                    _shares("Time used", "% of the time limit", ended, _time_share),
                    _shares("CPUs busy", "% of the allocated CPUs", ended, _cpu_share),
                )
                if figure
            ]
        )
    return Section(title="Requested and used", anchor="resources", elements=tuple(elements))


def _source(attempts: Sequence[AttemptFacts]) -> str:
    """Return where the numbers are from, and which of them nobody knows."""
    measured = [each for each in attempts if each.max_rss_mb]
    own = sum(_peak(each) == (each.own_peak_mb, OWN_COUNT) for each in attempts)
    if not measured:
        memory = f"The peak of memory is from {OWN_COUNT}." if own else "No memory was recorded."
        return f"Times are those that the executor recorded. {memory}"
    text = f"Times, CPUs and the peak of memory are from {SOURCE}."
    if own:
        text = (
            f"Times and CPUs are from {SOURCE}. The peak of memory is from there or from "
            f"{OWN_COUNT}, whichever saw more: the latter for {counted(own, 'attempt')}."
        )
    if short := sum(is_short(each.elapsed_s) and _peak_mb(each) is None for each in measured):
        verb = "is" if short == 1 else "are"
        text += (
            f" It samples memory every 30 s by default, so {counted(short, 'attempt')} of less "
            f"than {LEAST_SAMPLED_S} s {verb} left out where memory is shown."
        )
    return text


def _memory_share(attempt: AttemptFacts) -> float | None:
    peak = _peak_mb(attempt)
    if peak is None or not attempt.mem_gb:
        return None
    return 100 * peak / (attempt.mem_gb * _MIB_PER_GIB)


def _peak_mb(attempt: AttemptFacts) -> float | None:
    return _peak(attempt)[0]


def _peak(attempt: AttemptFacts) -> tuple[float | None, str]:
    return peak_mb(attempt.max_rss_mb, attempt.elapsed_s, attempt.own_peak_mb)


def _time_share(attempt: AttemptFacts) -> float | None:
    if attempt.elapsed_s is None or not attempt.time_min:
        return None
    return 100 * attempt.elapsed_s / (60 * attempt.time_min)


def _cpu_share(attempt: AttemptFacts) -> float | None:
    if attempt.busy_cpus is None or not attempt.cpus:
        return None
    return 100 * attempt.busy_cpus / attempt.cpus


def _shares(
    title: str,
    axis: str,
    attempts: Sequence[AttemptFacts],
    share: Callable[[AttemptFacts], float | None],
) -> Figure | None:
    shares = [each for attempt in attempts if (each := share(attempt)) is not None]
    if not shares:
        return None
    top = max(100.0, *shares)
    edges = tuple(top * number / _BINS for number in range(_BINS + 1))
    counts = [0.0] * _BINS
    for each in shares:
        counts[min(int(each / top * _BINS), _BINS - 1)] += 1
    return Figure(
        chart=Histogram(
            title=title,
            edges=edges,
            series=Series(name="attempts", values=tuple(counts)),
            axis=axis,
            height="attempts",
        ),
        description=(
            f"{counted(len(shares), 'attempt')}: half of them used up to "
            f"{format_value(median(shares))}%, and the most was {format_value(max(shares))}%."
        ),
        table=Table(
            caption=title,
            header=("from (%)", "to (%)", "attempts"),
            rows=tuple(
                (format_value(low), format_value(high), f"{count:,.0f}")
                for low, high, count in zip(edges, edges[1:], counts, strict=False)
            ),
            numbers=frozenset({0, 1, 2}),
        ),
    )


def _by_request(attempts: Sequence[AttemptFacts]) -> Table:
    groups: dict[tuple[float | None, float | None], list[AttemptFacts]] = {}
    for each in attempts:
        groups.setdefault((each.mem_gb, each.time_min), []).append(each)
    return Table(
        caption="Attempts by what they requested",
        header=(
            "memory", "time limit", "attempts", "memory used, median", "most", "time, median",
            "longest",
        ),
        rows=tuple(
            (
                "default" if memory is None else format_memory(memory * _MIB_PER_GIB),
                "none" if limit is None else format_duration(60 * limit),
                f"{len(group):,}",
                *_two([_peak_mb(each) for each in group], format_memory),
                *_two([each.elapsed_s for each in group], format_duration),
            )
            for (memory, limit), group in sorted(
                groups.items(), key=lambda item: (item[0][0] or 0, item[0][1] or 0)
            )[:MOST_ROWS]
        ),
        numbers=frozenset(range(2, 7)),
    )  # fmt: skip


def _two(numbers: Sequence[float | None], write: Callable[[float], str]) -> tuple[str, str]:
    """Return the median and the maximum of the numbers that are known."""
    known = [number for number in numbers if number is not None]
    return (write(median(known)), write(max(known))) if known else ("–", "–")


def describe_costs(facts: SubjectFacts) -> Section:
    """Return tokens, requests and money."""
    runs = {run.run_id: run for run in facts.runs}
    elements: tuple[Element, ...] = (
        Paragraph(f"The answers have no counts of tokens{_price_clause(facts.runs)}."),
    )
    if facts.costs:
        elements = (Paragraph(_total(facts.costs, runs)), _costs(facts.costs[-MOST_ROWS:], runs))
    return Section(title="Tokens and cost", anchor="costs", elements=elements)


def _price_clause(runs: Sequence[RunFacts]) -> str:
    if any(run.price for run in runs):
        return ", so the configured price gives no cost"
    return ", and no price is configured, so the cost is unknown"


def _total(costs: Sequence[RunCosts], runs: dict[str, RunFacts]) -> str:
    amounts: dict[str, float] = {}
    sums: dict[str, int] = {}
    for each in costs:
        for column, number in each.sums.items():
            sums[column] = sums.get(column, 0) + number
        price = runs[each.run_id].price if each.run_id in runs else None
        amount = cost_of(each.sums, price)
        if price and amount is not None:
            amounts[price.currency] = amounts.get(price.currency, 0.0) + amount
    used = ", ".join(f"{number:,} {_words(column)}" for column, number in sums.items())
    money = " and ".join(format_money(amount, currency) for currency, amount in amounts.items())
    prices = "the prices that are configured now, which were corrected"
    if not any(run.has_new_price for run in runs.values()):
        prices = "the configured prices"
    priced = f" They cost {money} at {prices}." if money else ""
    if not any(run.price for run in runs.values()):
        priced = " No price is configured, so the cost is unknown."
    return (
        f"All answers together used {used}.{priced} Requests in flight when a task was killed are "
        "not counted."
    )


def _words(column: str) -> str:
    return column.removeprefix("llm_").removeprefix("moderation_").replace("_", " ")


def _costs(costs: Sequence[RunCosts], runs: dict[str, RunFacts]) -> Table:
    columns = list(dict.fromkeys(column for each in costs for column in each.sums))
    return Table(
        caption="Tokens and cost of each run",
        header=("run", "posts", *map(_words, columns), "cost"),
        rows=tuple(
            (
                each.run_id,
                f"{each.posts:,}",
                *(f"{each.sums[column]:,}" if column in each.sums else "–" for column in columns),
                _money(each, runs.get(each.run_id)),
            )
            for each in costs
        ),
        numbers=frozenset(range(1, len(columns) + 3)),
    )


def _money(costs: RunCosts, run: RunFacts | None) -> str:
    price = run.price if run else None
    amount = cost_of(costs.sums, price)
    return format_money(amount, price.currency) if price and amount is not None else "–"
