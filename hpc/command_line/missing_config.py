"""Suggest the whole command to somebody who has named no configuration."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

_FLAG = "--config"
# A flag that is no choice begins with a bracket in a usage, or follows the bar of a group.
_REQUIRED = re.compile(rf"(?<!\[)(?<!\| ){_FLAG}\b")
_CLASSIFIER = re.compile(r"^classifier\s*:", re.MULTILINE)
_MOST_BYTES = 1 << 20
_MOST_SHOWN = 5


def lacks_config(usage: str, words: Sequence[str]) -> bool:
    """Tell whether a command has to name a configuration, and names none.

    Args:
        usage: of its verb.
        words: what follows the verb.
    """
    flags = [word.partition("=")[0] for word in words]
    if "-h" in flags or any(_is_short_for("--help", flag) for flag in flags):
        return False
    return not any(_is_short_for(_FLAG, flag) for flag in flags) and bool(_REQUIRED.search(usage))


def _is_short_for(option: str, flag: str) -> bool:
    return len(flag) > len("--c") and option.startswith(flag)


def describe_lack(verb: str, words: Sequence[str], folder: Path) -> str:
    """Return what is missing, and the command to type.

    Args:
        verb: the verb.
        words: what follows it.
        folder: where configurations are looked for.
    """
    found = find_configurations(folder)
    lines = ["the following arguments are required: --config"]
    if not found:
        command = shlex.join(["hpc", verb, _FLAG])
        rest = "".join(f" {shlex.quote(word)}" for word in words)
        lines.append(f"name your configuration: {command} FILE{rest}")
        lines.append("there is none in this folder; to write one: hpc init")
        return "\n".join(lines)
    command = shlex.join(["hpc", verb, _FLAG, found[0], *words])
    if len(found) == 1:
        return "\n".join([*lines, f"{found[0]} is here: {command}"])
    more = f" and {len(found) - _MOST_SHOWN:,} more" if len(found) > _MOST_SHOWN else ""
    lines.append(f"these are here: {', '.join(found[:_MOST_SHOWN])}{more}. For example: {command}")
    return "\n".join(lines)


def find_configurations(folder: Path) -> list[str]:
    """Return the names of the files in a folder that look like configurations, sorted.

    They have a classifier, and the template of a cluster has none.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml"))
    except OSError:
        return []
    return [path.name for path in paths if _has_classifier(path)]


def _has_classifier(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode(errors="replace")
    except OSError:
        return False
    return bool(_CLASSIFIER.search(text))
