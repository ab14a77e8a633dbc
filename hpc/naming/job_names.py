"""Name the jobs of a run, and find out of which run a job is. Pure.

`squeue` shows the first eight characters of a job's name, so a name begins with that of the labels:
`toxicity-20261129T094423-4ceaec33-0002`. Earlier versions began it with `hpc-`, and their jobs may
still be pending or running.
"""

import re

import msgspec

from hpc.naming.run_ids import RUN_ID, RunId, parse_run_id

_SUFFIX = r"(?P<suffix>\d{4,}|caretaker|understudy)"
_NAME = re.compile(
    r"(?P<name>.+?)(?:-(?P<place>[0-9a-f]{6}))?-(?P<time>\d{8}T\d{6})-(?P<hash>[0-9a-f]{8})-"
    + _SUFFIX
)
_EARLIER_NAME = re.compile(rf"hpc-(?:(?P<place>[0-9a-f]{{6}})-)?(?P<run_id>{RUN_ID})-{_SUFFIX}")


class JobName(msgspec.Struct, frozen=True, kw_only=True):
    """What the name of a job says."""

    run_id: str
    """The run that the job is of."""
    suffix: str
    """The number of the submission, such as `0002`, or the role of a caretaker."""
    place: str = ""
    """Six hex digits for the folder of a run that has moved; empty for one that has not."""

    @property
    def number(self) -> int | None:
        """The number of the submission; None for a caretaker."""
        return int(self.suffix) if self.suffix.isdecimal() else None


def parse_job_name(name: str) -> JobName | None:
    """Return what a job's name says; None if no version gives jobs of runs such a name."""
    if match := _EARLIER_NAME.fullmatch(name):
        return JobName(run_id=match["run_id"], suffix=match["suffix"], place=match["place"] or "")
    if match := _NAME.fullmatch(name):
        run = RunId(time=match["time"], name=match["name"], hash=match["hash"])
        return JobName(run_id=str(run), suffix=match["suffix"], place=match["place"] or "")
    return None


def new_prefix(run_id: str, place: str) -> str:
    """Return what the names of a run's new jobs begin with, and those of no other run.

    Args:
        run_id: the run's id.
        place: six hex digits for the folder of a run that has moved; empty for one that has not.
    """
    parts = parse_run_id(run_id)
    if parts is None:  # a run that another program made
        return earlier_prefix(run_id, place)
    begin = f"{parts.name}-{place}" if place else parts.name
    return f"{begin}-{parts.time}-{parts.hash}-"


def earlier_prefix(run_id: str, place: str) -> str:
    """Return what the names of the jobs begin with that earlier versions submitted."""
    return f"hpc-{place}-{run_id}-" if place else f"hpc-{run_id}-"
