"""Describe what a person corrected about a run. Pure."""

from collections.abc import Iterator, Sequence

from hpc.display.blocks import Block, Line
from pipeline.run_files.amendments import Amendment, Change

_CARETAKER = "cluster.caretaker."


def describe_changes(changes: Sequence[Change]) -> list[str]:
    """Return a text for each value that changed, such as `cluster.account: none → kellogg`.

    What a caretaker takes over from the tasks is not repeated.
    """
    tasks = {change.key: (change.old, change.new) for change in changes}
    return [
        line
        for change in changes
        if not change.key.startswith(_CARETAKER)
        or tasks.get(f"cluster.{change.key.removeprefix(_CARETAKER)}") != (change.old, change.new)
        for line in _describe(change.key, change.old, change.new)
    ]


def describe_amendments(amendments: Sequence[Amendment]) -> list[Block]:
    """Return when and by whom, then a line for each change, for each amendment."""
    lines: list[Block] = []
    for amendment in amendments:
        when = amendment.amended_at.replace("T", " ")
        lines += [
            Line(f"  corrected {when} UTC by {amendment.amended_by}:"),
            *(Line(f"    {change}") for change in describe_changes(amendment.changes)),
        ]
    return [Line(""), *lines] if lines else []


def amendments_document(amendments: Sequence[Amendment]) -> list[dict[str, object]]:
    """Return what `status --json` has about amendments."""
    return [
        {
            "number": amendment.number,
            "amended_at": amendment.amended_at,
            "amended_by": amendment.amended_by,
            "changes": changes_document(amendment.changes),
        }
        for amendment in amendments
    ]


def changes_document(changes: Sequence[Change]) -> list[dict[str, object]]:
    """Return each changed key with its old and its new value."""
    return [{"key": change.key, "old": change.old, "new": change.new} for change in changes]


def _describe(path: str, old: object, new: object) -> Iterator[str]:
    before, after = (value if isinstance(value, dict) else {} for value in (old, new))
    is_mapping = all(value is None or isinstance(value, dict) for value in (old, new))
    if is_mapping and (before or after):
        for name in dict.fromkeys((*before, *after)):
            if before.get(name) != after.get(name):
                yield from _describe(f"{path}.{name}", before.get(name), after.get(name))
    else:
        yield f"{path}: {_shown(old)} → {_shown(new)}"


def _shown(value: object) -> str:
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
