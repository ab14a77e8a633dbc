"""Read the id of a run: `20261129T094423-toxicity-4ceaec33`. Pure."""

import re

import msgspec

RUN_ID = r"\d{8}T\d{6}-(?P<name>.+)-[0-9a-f]{8}"
_PARTS = re.compile(r"(?P<time>\d{8}T\d{6})-(?P<name>.+)-(?P<hash>[0-9a-f]{8})")


class RunId(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a run's id."""

    time: str
    """When the run was planned (UTC), such as `20261129T094423`."""
    name: str
    """The name of its labels."""
    hash: str
    """Eight hex digits that tell runs of one second apart."""

    def __str__(self) -> str:
        """Return the id."""
        return f"{self.time}-{self.name}-{self.hash}"


def parse_run_id(text: str) -> RunId | None:
    """Return the parts of a run's id; None if a text is none."""
    parts = _PARTS.fullmatch(text)
    return RunId(**parts.groupdict()) if parts else None
