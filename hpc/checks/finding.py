"""A finding: what one check says, how bad it is, and what to do about it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


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
