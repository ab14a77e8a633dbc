"""Describe a whole page from what was read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hpc.display.comparison.gold import GoldReport
from hpc.html_report.elements import Page, Section, Subject
from hpc.html_report.facts import SpeedStep, SubjectFacts
from hpc.html_report.sections.counts import describe_counts, describe_reasons
from hpc.html_report.sections.gold import describe_gold
from hpc.html_report.sections.labels import describe_labels
from hpc.html_report.sections.provenance import describe_provenance
from hpc.html_report.sections.resources import describe_costs, describe_resources
from hpc.html_report.sections.speed import describe_speed
from hpc.html_report.sections.summary import describe_summary
from hpc.html_report.sections.tasks import describe_tasks
from hpc.html_report.wording import format_time
from pipeline.text import listed


@dataclass(frozen=True, kw_only=True, slots=True)
class SubjectData:
    """A name or run with all that was read of it."""

    title: str
    facts: SubjectFacts
    steps: dict[str, tuple[SpeedStep, ...]]
    """By run, how many answers came in each step of time."""
    golds: tuple[GoldReport, ...] = ()
    gold_notes: tuple[str, ...] = ()


def describe_page(subjects: Sequence[SubjectData], version: str) -> Page:
    """Return the page about some names or runs."""
    described = [
        Subject(title=each.title, sections=tuple(_sections(each, number, len(subjects))))
        for number, each in enumerate(subjects, 1)
    ]
    made_at = format_time(subjects[0].facts.generated_at)
    return Page(
        title=f"Labels: {listed([each.title for each in subjects])}",
        subjects=tuple(described),
        footer=(
            f"Made by hpc report, hpc-batch-classification {version}, {made_at}. The page holds no "
            "texts of posts, runs no script and requests nothing."
        ),
    )


def _sections(subject: SubjectData, number: int, count: int) -> list[Section]:
    facts = subject.facts
    sections = [
        describe_summary(facts),
        describe_counts(facts),
        describe_labels(facts),
        describe_reasons(facts),
    ]
    if not facts.is_coded_by_people:  # of whom nothing else is recorded
        sections += [
            describe_gold(subject.golds, subject.gold_notes),
            describe_tasks(facts),
            describe_speed(facts, subject.steps),
            describe_resources(facts),
            describe_costs(facts),
        ]
    sections.append(describe_provenance(facts))
    if count == 1:
        return sections
    return [replace(each, anchor=f"{each.anchor}-{number}") for each in sections]
