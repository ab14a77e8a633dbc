"""Describe where the posts of a backlog are, what is wrong, and what to do about it. Pure."""

from hpc.report.blocks import Block, Line, Table, Tone
from pipeline.database.backlog_audit import Audit, Files, Place
from pipeline.text import counted

NOTES = {
    Place.LABELED: "",
    Place.UNLABELABLE: "",
    Place.NOT_GATHERED: "published, but not in the database yet: hpc gather",
    Place.IN_FLIGHT: "in a shard that is planned, queued, running or ending",
    Place.FAILED: "in a failed shard: hpc resubmit",
    Place.BLOCKED: "in a shard that needs your attention: hpc status",
    Place.LOST: "labels that are missing from the database: hpc gather --rebuild "
    "(do not delete run folders)",
    Place.LATE: "older than the watermark, and in no run: hpc submit --backfill",
    Place.NEW: "in no run yet: hpc submit",
}
TONES = {
    Place.LABELED: Tone.GOOD,
    Place.UNLABELABLE: Tone.PLAIN,
    Place.NOT_GATHERED: Tone.PENDING,
    Place.IN_FLIGHT: Tone.ACTIVE,
    Place.FAILED: Tone.BAD,
    Place.BLOCKED: Tone.BAD,
    Place.LOST: Tone.BAD,
    Place.LATE: Tone.PENDING,
    Place.NEW: Tone.PLAIN,
}
# Their commands need a run: without one, a verb takes the newest run, maybe of another name.
_WITH_RUN = (Place.NOT_GATHERED, Place.FAILED, Place.BLOCKED)
_OPEN = (Place.NOT_GATHERED, Place.IN_FLIGHT, Place.FAILED, Place.BLOCKED, Place.NEW)


def describe_audit(audit: Audit, name: str, source: str, files: Files) -> list[Block]:
    """Return the counts with a note for each place, the days that have open posts, the verdict.

    Args:
        audit: the counts.
        name: of the labels.
        source: the backlog, in words.
        files: the files of the name's runs, which name the runs.
    """
    return [
        Line(
            f"{source}: {counted(audit.rows, 'row')}, "
            f"{counted(audit.copies, 'duplicate')}, "
            f"{counted(audit.expected, 'post')} expected under the name {name}"
        ),
        Line(""),
        _places(audit, files),
        *_defects(audit),
        *_open_days(audit),
        Line(""),
        Line(_verdict(audit), Tone.GOOD if audit.is_whole else Tone.BAD),
    ]


def _places(audit: Audit, files: Files) -> Table:
    shown = [place for place in Place if audit.places[place] or place is Place.LABELED]
    rows = [(str(place), f"{audit.places[place]:,}", _note(place, audit, files)) for place in shown]
    return Table(
        rows=(*rows, ("sum", f"{sum(audit.places.values()):,}", "")),
        right_aligned=frozenset({1}),
        tones=(*(TONES[place] for place in shown), Tone.PLAIN),
    )


def _note(place: Place, audit: Audit, files: Files) -> str:
    if place is Place.UNLABELABLE:
        return ", ".join(f"{reason} {count:,}" for reason, count in audit.reasons.items())
    if place not in _WITH_RUN:
        return NOTES[place]
    paths = files.not_gathered if place is Place.NOT_GATHERED else files.waiting[place]
    folders = list(dict.fromkeys(path.parents[1] for path in paths))
    more = f" (and {counted(len(folders) - 1, 'more run')})" if folders[1:] else ""
    return f"{NOTES[place]} {folders[0]}{more}" if folders else NOTES[place]


def _defects(audit: Audit) -> list[Block]:
    rows = [
        (audit.unreadable, "of the backlog without a uri or timestamp: hpc submit names the first"),
        (audit.differing, "of the database that differ from the output they came from"),
        (audit.duplicates, "of the database too many: their uri has a row already"),
        (audit.foreign, "of the database for posts that are not in this backlog"),
        (
            audit.unproven,
            "of the database without an output: kept, but gather --rebuild cannot restore them "
            "(the folder of their run was probably deleted)",
        ),
    ]
    return [
        *(Line(f"  {counted(count, 'row')} {problem}") for count, problem in rows if count),
        *(
            Line(
                f"    {shard}: the rows or the output were edited; hpc gather --rebuild takes "
                "the output's"
            )
            for shard in audit.edited
        ),
    ]


def _open_days(audit: Audit) -> list[Block]:
    rows = [
        (day, ", ".join(f"{place} {count:,}" for place, count in counts.items() if count))
        for day, counts in audit.days
        if sum(counts.values()) > counts[Place.LABELED] + counts[Place.UNLABELABLE]
    ]
    return [Line(""), Line("days with unlabeled posts:"), Table(rows=tuple(rows))] if rows else []


def _verdict(audit: Audit) -> str:
    unfinished = sum(audit.places[place] for place in _OPEN)
    lost, late = audit.places[Place.LOST], audit.places[Place.LATE]
    problems = [
        f"{counted(lost, 'label')} lost" if lost else "",
        f"{counted(late, 'late post')} in no run" if late else "",
        f"{counted(audit.unreadable, 'unreadable row')}" if audit.unreadable else "",
        f"{counted(audit.duplicates, 'duplicate label')}" if audit.duplicates else "",
        f"{counted(audit.differing, 'edited label')}" if audit.differing else "",
    ]
    if audit.is_whole:
        open_posts = f"; {counted(unfinished, 'post')} not labeled yet" if unfinished else ""
        return f"nothing is missing{open_posts}"
    return f"needs attention: {', '.join(problem for problem in problems if problem)}"
