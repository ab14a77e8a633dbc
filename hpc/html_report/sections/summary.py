"""Describe what labeled what: numbers, the methods paragraph, and the whole prompt. Pure."""

from collections.abc import Iterator

from hpc.html_report.elements import Details, Element, Facts, Paragraph, Preformatted, Section
from hpc.html_report.facts import RunFacts, SubjectFacts
from hpc.html_report.methods import describe_methods, setup_title
from hpc.html_report.wording import format_days, format_share, format_time, odd_times
from hpc.run.run_state import RunState
from hpc.runs.missing_posts import ORDER
from pipeline.backlog.select import FIRST_CREDIBLE_YEAR
from pipeline.text import counted


def describe_summary(facts: SubjectFacts) -> Section:
    """Return the summary of a name or run."""
    return Section(
        title="Summary and methods",
        anchor="summary",
        elements=(
            *_notices(facts),
            Facts(tuple(_numbers(facts))),
            Paragraph(describe_methods(facts)),
            *_setups(facts),
        ),
    )


def _describe_state(run: RunFacts) -> str:
    if run.state == RunState.UNKNOWN:
        return "is in an unknown state, because Slurm does not answer"
    return "is under way" if run.is_under_way else f"is not complete ({run.state})"


def _notices(facts: SubjectFacts) -> Iterator[Element]:
    for run in facts.runs:
        if run.posts_published == run.posts:
            continue
        yield Paragraph(
            f"Run {run.run_id} {_describe_state(run)}: {run.posts - run.posts_published:,} of "
            f"{counted(run.posts, 'post')} have no published result, "
            f"{run.posts_answered - run.posts_published:,} of them with an answer already.",
            is_notice=True,
        )
    if facts.missing:
        yield Paragraph(
            f"These numbers are not final. The missing posts are no random part of all posts: "
            f"{ORDER}. Shares and means can be far off, most of all those of a "
            f"{facts.counts.post_period} that lacks results; charts mark these.",
            is_notice=True,
        )
    if odd := odd_times(facts.counts):
        yield Paragraph(f"{odd} Charts over time leave such posts out.", is_notice=True)
    if facts.posts_of_gone_runs:
        yield Paragraph(
            f"{counted(facts.posts_of_gone_runs, 'post')} were labeled by runs whose folders are "
            "gone. Their labeling setup is unknown.",
            is_notice=True,
        )
    for problem in facts.problems:
        yield Paragraph(problem, is_notice=True)


def _numbers(facts: SubjectFacts) -> Iterator[tuple[str, str]]:
    counts = facts.counts
    without = counts.posts - counts.labeled
    yield "Name", facts.name
    yield "Posts labeled", f"{counts.labeled:,} of {counts.posts:,}"
    yield "Posts without a label", f"{without:,} ({format_share(without, counts.posts)})"
    yield "Posts still missing", f"{facts.missing:,}"
    if counts.first_label:
        yield "Labeled", format_days(counts.first_label, counts.last_label)
    if counts.first_post:
        yield "Times of the posts", format_days(counts.first_post, counts.last_post)
    if counts.later_posts:
        yield "Posts from the future", f"{counts.later_posts:,}"
    if counts.early_posts:
        yield f"Posts from before {FIRST_CREDIBLE_YEAR}", f"{counts.early_posts:,}"
    yield "Runs", f"{len(facts.runs):,}"
    yield "Page made", format_time(facts.generated_at)


def _setups(facts: SubjectFacts) -> Iterator[Element]:
    several = len(facts.setups) > 1
    for setup in facts.setups:
        rows = (("type", setup.kind), *setup.options.items())
        yield Details(summary=setup_title(setup, several=several), children=(Facts(rows),))
        for name, text in setup.texts.items():
            yield Details(
                summary=f"The whole {name} (SHA-256 {text.sha256[:16]}…)",
                children=(Facts((("SHA-256", text.sha256),)), Preformatted(text.text)),
            )
