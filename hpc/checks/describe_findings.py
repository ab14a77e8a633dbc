"""Show findings: a line for each, with what to do about it."""

from collections import Counter
from collections.abc import Sequence

from hpc.checks.finding import Finding, Level
from hpc.display.blocks import Block, Line, Table, Tone
from pipeline.text import counted

TONES = {Level.OK: Tone.GOOD, Level.WARNING: Tone.PENDING, Level.ERROR: Tone.BAD}
_NEXT = "→"


def describe_findings(findings: Sequence[Finding]) -> list[Block]:
    """Return a table of all findings."""
    rows, tones = [], []
    for finding in findings:
        first, *others = finding.message.splitlines()
        rows.append((str(finding.level), str(finding.part), first))
        rows += [("", "", line.rstrip()) for line in others]
        tones += [TONES[finding.level]] * (1 + len(others))
        if finding.remedy:
            rows.append(("", "", f"{_NEXT} {finding.remedy}"))
            tones.append(Tone.PLAIN)
    return [Table(rows=tuple(rows), tones=tuple(tones), indent=0)]


def summarize_findings(findings: Sequence[Finding]) -> Line:
    """Return how many of them need a person."""
    counts = Counter(finding.level for finding in findings)
    if counts[Level.ERROR]:
        text = f"{counted(counts[Level.ERROR], 'error')}"
        if counts[Level.WARNING]:
            text += f" and {counted(counts[Level.WARNING], 'warning')}"
        return Line(f"{text}: correct this before you submit", Tone.BAD)
    if counts[Level.WARNING]:
        return Line(f"no errors, {counted(counts[Level.WARNING], 'warning')}", Tone.PENDING)
    return Line("everything is fine", Tone.GOOD)
