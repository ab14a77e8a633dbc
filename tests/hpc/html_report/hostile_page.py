"""Facts in which everything that others may write is hostile, and every section has content."""

from datetime import date, datetime, timedelta

from hpc.display.comparison.gold import GoldReport, ModelReport
from hpc.html_report.facts import (
    AttemptFacts,
    Category,
    CategoryColumn,
    Course,
    CoursePoint,
    HiddenColumn,
    LabelCounts,
    LabelingSetup,
    LongText,
    NumberColumn,
    Outcome,
    Period,
    PeriodCount,
    Quota,
    RunCosts,
    RunFacts,
    RunSpeed,
    SampleFacts,
    SpeedStep,
    SubjectFacts,
)
from pipeline.analysis.gold.results import GoldComparison
from pipeline.analysis.results import Bin, Curve, Estimate, Month
from pipeline.errors import Cause
from pipeline.run_files.sample_file import Sample, Stratum
from pipeline.usage import COMPLETION, PROMPT, Price

HOSTILE = (
    "</style></title></pre><script>document.title='owned'</script>"
    "<img src=http://example.invalid/a.png onerror=document.title='owned'>"
    "\"'><style>body{display:none}</style>{{7*7}}$\\frac{x$&amp;\u202eevil\x1b[31m\x00\ud800"
)
LONG = "averylongnamewithoutanyblank" * 12
START = datetime(2024, 5, 1, 9)
DAY = timedelta(days=1)


def course(name: str, base: float) -> Course:
    points = tuple(
        CoursePoint(
            start=date(2023 + month // 12, month % 12 + 1, 1),
            posts=50 if month else 3,
            value=base + month / 100,
            interval=(base + month / 100 - 0.05, base + month / 100 + 0.05) if month else None,
        )
        for month in range(14)
    )
    return Course(name=name, points=points)


def counts(period: Period, count: int) -> tuple[PeriodCount, ...]:
    return tuple(
        PeriodCount(start=date(2024, 1, 1) + number * DAY, labeled=90 + number, unlabelable=number)
        for number in range(count)
    )


def attempts(run_id: str, shards: int) -> tuple[AttemptFacts, ...]:
    outcomes = [Outcome.PUBLISHED, *Cause, Outcome.UNDER_WAY, Outcome.UNKNOWN]
    return tuple(
        AttemptFacts(
            run_id=run_id,
            shard=shard,
            number=number + 1,
            outcome=str(outcomes[(shard + number) % len(outcomes)]),
            submitted_at=START,
            started_at=START + timedelta(minutes=shard + 60 * number) if shard % 7 else None,
            ended_at=START + timedelta(minutes=shard + 60 * number + 30) if shard % 5 else None,
            elapsed_s=1800.0 if shard % 3 else None,
            max_rss_mb=900.0 + shard if shard % 2 else None,
            mem_gb=2.0 if shard % 4 else None,
            time_min=60.0,
        )
        for shard in range(shards)
        for number in range(1 + shard % 3)
    )


def run(run_id: str, shards: int) -> RunFacts:
    return RunFacts(
        run_id=run_id,
        created_at=START,
        state="running",
        posts=1000,
        posts_published=900,
        posts_answered=950,
        shards=shards,
        shards_published=shards - 1,
        version="0.1.0",
        commit="abc" * 13,
        config_hash="0123456789abcdef",
        is_under_way=True,
        quotas=(Quota(600, 600),),
        price=Price(prompt=1, completion=2),
        corrections=(HOSTILE,),
        outputs_digest="f" * 64,
    )


def hostile_facts(*, shards: int = 12, runs: int = 2) -> SubjectFacts:
    """Facts of a name with some runs."""
    ids = [f"20240501T09000{number}-{HOSTILE}" for number in range(runs)]
    setup = LabelingSetup(
        kind=HOSTILE,
        config_hash="0123456789abcdef",
        options={"temperature": "0.0", HOSTILE: HOSTILE, LONG: LONG},
        texts={HOSTILE: LongText(f"{HOSTILE}\n" * 3 + LONG, "a" * 64)},
    )
    sample = Sample(
        sample=HOSTILE, kind="submit", name=HOSTILE, seed=42, size=1000, population=50_000,
        strata=(Stratum(stratum=HOSTILE, population=50_000, size=1000),), drawn_at="2024-05-01",
        source="posts.csv", stratify=HOSTILE, allocation="equal",
    )  # fmt: skip
    steps = tuple(SpeedStep(start=START + number * DAY, answers=number) for number in range(1, 9))
    return SubjectFacts(
        name=HOSTILE,
        generated_at=START + 30 * DAY,
        runs=tuple(run(run_id, shards) for run_id in ids),
        counts=LabelCounts(
            posts=1000, labeled=900, copied=12, reasons=((HOSTILE, 60), (LONG, 40)),
            models=((HOSTILE, 900),), first_label=START, last_label=START + 9 * DAY,
            first_post=START - 90 * DAY, last_post=START, label_days=counts(Period.DAY, 9),
            post_periods=counts(Period.MONTH, 30), left_out_periods=2,
        ),
        setups=(setup,),
        sample=SampleFacts(description=sample, name=HOSTILE, is_weighted=True),
        columns=(
            NumberColumn(
                name=HOSTILE, posts=900, missing=3, mean=0.4, deviation=0.1,
                quantiles=(0.0, 0.2, 0.4, 0.6, 1.0), edges=tuple(n / 20 for n in range(21)),
                counts=tuple(map(float, range(20))), course=course("", 0.2),
            ),
            CategoryColumn(
                name=LONG, posts=900, missing=0,
                categories=(Category(value=HOSTILE, posts=800, share=0.9),
                            Category(value=LONG, posts=100, share=0.1)),
                courses=(course(HOSTILE, 0.5), course(LONG, 0.1)),
            ),
            HiddenColumn(name=HOSTILE, posts=900, missing=0, reason="it is free text"),
        ),
        attempts=tuple(each for run_id in ids for each in attempts(run_id, shards)),
        speeds=tuple(
            RunSpeed(run_id=run_id, step_s=86_400, steps=steps, asked=36, seconds=8 * 86_400.0,
                     busiest_minute=30)
            for run_id in ids
        ),
        costs=(RunCosts(run_id=ids[0], posts=900, sums={PROMPT: 1_000_000, COMPLETION: 5000}),),
        problems=(HOSTILE,),
        posts_of_gone_runs=5,
    )  # fmt: skip


def hostile_gold() -> GoldReport:
    """A comparison with gold over many months."""
    bins = tuple(
        Bin(low=number / 10, high=number / 10 + 0.1, posts=9, mean_score=number / 10 + 0.05,
            share_positive=number / 10, interval=(number / 12, number / 9))
        for number in range(10)
    )  # fmt: skip
    months = tuple(
        Month(month=f"{2022 + number // 12}-{number % 12 + 1:02d}", posts=9, agreement=0.8,
              interval=(0.7, 0.9))
        for number in range(28)
    )  # fmt: skip
    comparison = GoldComparison(
        model=HOSTILE, gold=LONG, kinds=("number", "number"), posts=90, not_coded=0,
        without_model=0, measures={"accuracy": Estimate(value=0.8, interval=(0.7, 0.9))},
        calibration=(Curve(score="a", label=f"B {HOSTILE}", bins=bins),), months=months,
    )  # fmt: skip
    model = ModelReport(name=HOSTILE, posts=900, comparisons=(comparison,), cautions=())
    return GoldReport(
        database="labels.duckdb", gold=HOSTILE, posts=90, sample=None, outside=0, resamples=10,
        seed=0, models=(model,), until=START,
    )  # fmt: skip
