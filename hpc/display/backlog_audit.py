"""Describe where the posts of a backlog are, what is wrong, and what to do about it. Pure."""

from collections.abc import Mapping

from hpc.display.blocks import Block, Line, Table, Tone
from hpc.display.similar_lines import describe_similar
from pipeline.backlog.left_out import describe_left_out
from pipeline.backlog.sources import Source
from pipeline.database.backlog_audit import Audit, Files
from pipeline.database.places.place import Place
from pipeline.messages.options import JSON
from pipeline.text import counted

NOTES = {
    Place.LABELED: "",
    Place.UNLABELABLE: "",
    Place.NOT_GATHERED: "published, but not in the database yet: hpc gather",
    Place.IN_FLIGHT: "in a shard that is queued, running or ending: hpc status",
    Place.PLANNED: "in a shard that was never submitted: hpc supervise",
    Place.HANDED_OVER: "in a shard that another engine labels: hpc status",
    Place.FAILED: "in a failed shard: hpc status",
    Place.BLOCKED: "in a shard that needs your attention: hpc status",
    Place.LOST: "labels that are missing from the database: hpc gather --rebuild "
    "(do not delete run folders)",
    Place.UNREADABLE: "perhaps in a file that cannot be read; see below",
    Place.LATE: "older than the watermark, and in no run: hpc submit --config {} --backfill",
    Place.NEW: "in no run yet: hpc submit --config {}",
}
TONES = {
    Place.LABELED: Tone.GOOD,
    Place.UNLABELABLE: Tone.PLAIN,
    Place.NOT_GATHERED: Tone.PENDING,
    Place.IN_FLIGHT: Tone.ACTIVE,
    Place.PLANNED: Tone.BAD,
    Place.HANDED_OVER: Tone.PENDING,
    Place.FAILED: Tone.BAD,
    Place.BLOCKED: Tone.BAD,
    Place.LOST: Tone.BAD,
    Place.UNREADABLE: Tone.BAD,
    Place.LATE: Tone.PENDING,
    Place.NEW: Tone.PLAIN,
}
# Their commands need a run: without one, a verb takes the newest run, maybe of another name.
_WITH_RUN = (
    Place.NOT_GATHERED,
    Place.IN_FLIGHT,
    Place.PLANNED,
    Place.HANDED_OVER,
    Place.FAILED,
    Place.BLOCKED,
)
# What the last line calls posts in a place about which a person has to do something.
# More would push the counts off the screen.
_MOST_FILES = 20
_MOST_DAYS = 12
_STUCK = {
    Place.LOST: "lost",
    Place.FAILED: "in failed shards",
    Place.BLOCKED: "in blocked shards",
    Place.PLANNED: "never submitted",
    Place.UNREADABLE: "perhaps in unreadable files",
    Place.LATE: "late and in no run",
}
_UNDER_WAY = {
    Place.IN_FLIGHT: "in flight",
    Place.HANDED_OVER: "at another engine",
    Place.NOT_GATHERED: "not gathered yet",
    Place.NEW: "in no run yet",
}


def describe_audit(
    audit: Audit, name: str, source: Source, files: Files, config: str
) -> list[Block]:
    """Return the counts with a note for each place, the days that have open posts, the conclusion.

    Args:
        audit: the counts.
        name: of the labels.
        source: the backlog, with what was left out of it.
        files: the files of the name's runs, which name the runs.
        config: what follows `--config` in a command about the backlog.
    """
    return [
        Line(
            f"{source}: {counted(audit.rows, 'row')}, "
            f"{counted(audit.copies, 'duplicate')}, "
            f"{counted(audit.expected, 'post')} expected under the name {name}"
        ),
        *map(Line, (*source.notes, *describe_left_out(source.left_out))),
        Line(""),
        _places(audit, files, config),
        *_copies(audit),
        *_defects(audit),
        *_open_days(audit),
        Line(""),
        Line(_conclusion(audit), _tone(audit)),
    ]


def _places(audit: Audit, files: Files, config: str) -> Table:
    shown = [place for place in Place if audit.places[place] or place is Place.LABELED]
    rows = [
        (_name(place), f"{audit.places[place]:,}", _note(place, audit, files, config))
        for place in shown
    ]
    return Table(
        rows=(*rows, ("sum", f"{sum(audit.places.values()):,}", "")),
        right_aligned=frozenset({1}),
        tones=(*(TONES[place] for place in shown), Tone.PLAIN),
    )


def _name(place: Place) -> str:
    # The value is a key of --json, where its earlier spelling stays for programs.
    return "labeled" if place == Place.LABELED else str(place)


def _note(place: Place, audit: Audit, files: Files, config: str) -> str:
    if place is Place.UNLABELABLE:
        return ", ".join(f"{reason} {count:,}" for reason, count in audit.reasons.items())
    if place not in _WITH_RUN:
        return NOTES[place].format(config)
    shard_files = files.not_gathered if place is Place.NOT_GATHERED else files.waiting[place]
    by_run = {file.run_id: file for file in shard_files}
    folders = [file.path.parents[1] for file in by_run.values()]
    more = f" (and {counted(len(folders) - 1, 'more run')})" if folders[1:] else ""
    return f"{NOTES[place]} {folders[0]}{more}" if folders else NOTES[place]


def _copies(audit: Audit) -> list[Block]:
    if not audit.copied:
        return []
    what = counted(audit.copied, "row has", "rows have")
    return [Line(f"  {what} the answer to another post with the same text (copied_from)")]


def _defects(audit: Audit) -> list[Block]:
    rows = [
        (audit.unreadable, "of the backlog without a uri or timestamp: hpc submit names the first"),
        (
            audit.differing,
            "of the database that differ from their output, or are in no output of their shard",
        ),
        (audit.duplicates, "of the database are superfluous: their uri already has a row"),
        (audit.foreign, "of the database for posts that are not in this backlog"),
        (
            audit.unproven,
            "of the database without an output: kept, but gather --rebuild cannot restore them "
            "(the folder of their run was deleted)",
        ),
        (
            audit.outputs_gone,
            "of the database whose output is gone from the folder of their run: restore it, or run "
            "hpc supervise to label its shard again",
        ),
        (audit.not_compared, "of the database not compared with their output"),
    ]
    future = counted(audit.future, "post")
    return [
        *(Line(f"  {counted(count, 'row')} {problem}") for count, problem in rows if count),
        *([Line(f"  {future} with a timestamp in the future")] if audit.future else []),
        *(
            Line(
                f"    {shard}: the rows or the output were edited; hpc gather --rebuild uses "
                "the output"
            )
            for shard in audit.edited
        ),
        *(
            [Line("files and runs that cannot be read (the rest was audited):")]
            if audit.unreadable_files
            else []
        ),
        *(
            Line(f"  {problem}")
            for problem in describe_similar(audit.unreadable_files, "file", most=_MOST_FILES)
        ),
    ]


def _open_days(audit: Audit) -> list[Block]:
    rows = [
        (day, ", ".join(f"{_name(place)} {count:,}" for place, count in counts.items() if count))
        for day, counts in audit.days
        if sum(counts.values()) > counts[Place.LABELED] + counts[Place.UNLABELABLE]
    ]
    if len(rows) > _MOST_DAYS:
        left_out = f"{len(rows) - _MOST_DAYS:,} more days ({JSON} has all)"
        half = _MOST_DAYS // 2
        rows = [*rows[:half], ("…", left_out), *rows[-half:]]
    return [Line(""), Line("days with unlabeled posts:"), Table(rows=tuple(rows))] if rows else []


def _tone(audit: Audit) -> Tone:
    if audit.needs_a_person:
        return Tone.BAD
    return Tone.GOOD if audit.is_whole else Tone.PENDING


def _conclusion(audit: Audit) -> str:
    """Return the conclusion: something is wrong, something is not done yet, or all is done."""
    problems = [
        *_counts(audit, _STUCK),
        *_count(len(audit.unreadable_files), "unreadable file or run", "unreadable files or runs"),
        *_count(audit.unreadable, "unreadable backlog row"),
        *_count(audit.duplicates, "duplicate label"),
        *_count(audit.differing, "edited label"),
        *_count(audit.outputs_gone, "label without its output", "labels without their output"),
    ]
    rest = _counts(audit, _UNDER_WAY)
    if audit.needs_a_person:
        also = f"; also {', '.join(rest)}" if rest else ""
        return f"needs attention: {', '.join(problems)}{also}"
    if rest:
        return f"nothing is wrong, but not everything is done: {', '.join(rest)}"
    return "nothing is missing"


def _counts(audit: Audit, words: Mapping[Place, str]) -> list[str]:
    return [
        f"{counted(audit.places[place], 'post is', 'posts are')} {what}"
        for place, what in words.items()
        if audit.places[place]
    ]


def _count(number: int, singular: str, plural: str | None = None) -> list[str]:
    return [counted(number, singular, plural)] if number else []
