"""How the section on labels arranges its charts. Pure."""

from dataclasses import replace

from hpc.html_report.elements import Figures
from hpc.html_report.facts import NumberColumn, SubjectFacts
from hpc.html_report.sections.labels import describe_labels
from tests.hpc.html_report.hostile_page import hostile_facts


def charts_in_rows(facts: SubjectFacts) -> list[int]:
    """How many charts each group has, which begins a row of its own."""
    elements = describe_labels(facts).elements
    return [len(each.figures) for each in elements if isinstance(each, Figures)]


def test_the_two_charts_of_a_column_begin_a_row_and_single_charts_share_one() -> None:
    facts = hostile_facts()
    column = next(each for each in facts.columns if isinstance(each, NumberColumn))
    without_course = replace(column, course=replace(column.course, points=()))
    assert charts_in_rows(replace(facts, columns=(column, column, column))) == [2, 2, 2]
    assert charts_in_rows(replace(facts, columns=(without_course,) * 3)) == [3]
    assert charts_in_rows(replace(facts, columns=(without_course, column))) == [1, 2]
