"""Define a finding: what one check says, how bad it is, and what to do about it. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hpc.run.model.run import Say
from pipeline.errors import RunError


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """The run can start, and a person should know this."""
    ERROR = "error"
    """The run would fail."""


class Part(StrEnum):
    """What a finding is about, in the order in which findings are shown."""

    CONFIGURATION = "configuration"
    SOURCE = "source"
    DATABASE = "database"
    POSTS = "posts"
    KEY = "API key"
    REQUEST = "request"
    SERVICE_END = "service end"
    RUN_ROOT = "run root"
    DISK = "disk"
    INODES = "inodes"
    PYTHON = "python"
    CLUSTER = "cluster"
    RESOURCES = "resources"
    SCRIPT = "script"
    LIMITS = "limits"
    TIME = "time"
    CARETAKER = "caretaker"
    NOTIFY = "notify"
    NODE = "node"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a check found."""

    part: Part
    level: Level
    message: str
    """What is so, in one sentence."""
    remedy: str = ""
    """What to do about it; '' if nothing is to be done."""
    is_input: bool = False
    """Whether the configuration or its input is wrong, and not the world."""

    def to_json(self) -> dict[str, str]:
        """Return what `--json` shows of it."""
        return {
            "check": str(self.part),
            "level": str(self.level),
            "message": self.message,
            "remedy": self.remedy,
        }


def ok(part: Part, message: str) -> Finding:
    """Return a finding that needs nobody."""
    return Finding(part=part, level=Level.OK, message=message)


def warning(part: Part, message: str, remedy: str) -> Finding:
    """Return a finding that a person should know."""
    return Finding(part=part, level=Level.WARNING, message=message, remedy=remedy)


def error(part: Part, message: str, remedy: str) -> Finding:
    """Return a finding because of which the run would fail."""
    return Finding(part=part, level=Level.ERROR, message=message, remedy=remedy)


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level of some findings; OK without any."""
    levels = {finding.level for finding in findings}
    return next((level for level in (Level.ERROR, Level.WARNING) if level in levels), Level.OK)


def raise_errors(findings: Sequence[Finding], say: Say, end: str) -> None:
    """Show the warnings, and raise the errors.

    Args:
        findings: what was found.
        say: shows a message.
        end: the last line of the error: what was not done.

    Raises:
        RunError: there is an error.
    """
    for finding in findings:
        if finding.level is Level.WARNING:
            say(f"warning: {finding.message}. {_sentence(finding.remedy)}")
    errors = [each for each in findings if each.level is Level.ERROR]
    if errors:
        lines = (f"{finding.message}\n  {_sentence(finding.remedy)}" for finding in errors)
        raise RunError("\n".join([*lines, end]))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
