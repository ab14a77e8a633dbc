"""Describe a map that was saved. Pure."""

from pathlib import Path

from hpc.display.blocks import Block, Line, Table
from hpc.display.comparison.estimates import wrap_sentence
from pipeline.analysis.results import NotCompared
from pipeline.database.mapped_labels import ORIGINAL
from pipeline.run_files.score_map import ScoreMap


def describe_saved_map(
    saved: ScoreMap, file: Path, replaced: Path | None, not_mapped: tuple[NotCompared, ...]
) -> list[Block]:
    """Return where a map is, what it maps, and how to read the mapped labels."""
    blocks: list[Block] = [Line(""), Line(f"wrote the map {file}")]
    if replaced:
        blocks.append(Line(f"  the previous map is kept as {replaced}"))
    blocks.append(
        Table(
            header=("column of B", "becomes", "posts", "knots", "scores of B", "scores of A"),
            rows=tuple(
                (
                    each.b,
                    each.a,
                    f"{each.posts:,}",
                    f"{len(each.knots):,}",
                    f"{each.knots[0][0]:z.3f} - {each.knots[-1][0]:z.3f}",
                    f"{each.knots[0][1]:z.3f} - {each.knots[-1][1]:z.3f}",
                )
                for each in saved.columns
            ),
            right_aligned=frozenset({2, 3}),
        )
    )
    blocks += [
        line
        for each in not_mapped
        for line in wrap_sentence(f"  {each.a} and {each.b} are not mapped: {each.reason}")
    ]
    blocks += [
        Line("  Scores of B outside this range get the value at its end."),
        *wrap_sentence(
            f"  The view labels_{saved.name} has the mapped labels. If a mapped column replaces "
            f"one of {saved.b}, the name of the original ends in {ORIGINAL}."
        ),
    ]
    return blocks
