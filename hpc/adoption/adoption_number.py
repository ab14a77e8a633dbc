"""Choose the number of an adoption: above each one that a record, an output or an answer has.

The records alone do not show which numbers are used. An older copy of their folder may have been
put back, and then rows of two adoptions would lead to the same record.
"""

import re
from collections.abc import Iterable, Iterator

from hpc.adoption import adoption_record
from hpc.run.model.run import Run
from pipeline import files
from pipeline.run_files.checkpoints import parts
from pipeline.run_files.manifest import work_path
from pipeline.run_files.output import OutputCheck

_SET_ASIDE = re.compile(r".*\.replaced-(\d{4,9})")


def set_aside_name(name: str, number: int) -> str:
    """Return the name under which an adoption keeps an output that it replaces."""
    return f"{name}.replaced-{number:04d}"


def next_adoption_number(run: Run, checks: Iterable[OutputCheck]) -> int:
    """Return the number of the next adoption of a run.

    Args:
        run: the run.
        checks: what its outputs show.

    Raises:
        UnreadableError: a folder of the run cannot be read now.
    """
    used = {*adoption_record.numbers(run.folder), *_kept(run)}
    used.update(check.attempt for check in checks)
    used.update(_set_aside(files.names_in(run.folder / "outputs")))
    # A larger number is of no adoption: somebody has put that file there.
    return 1 + max((number for number in used if number < adoption_record.LARGEST), default=0)


def _kept(run: Run) -> Iterator[int]:
    """Yield the numbers of answers to shards that are not complete."""
    for shard in run.manifest.shards:
        yield from parts.rows_by_attempt(files.names_in(work_path(run.folder, shard.index)))


def _set_aside(names: Iterable[str]) -> Iterator[int]:
    return (int(found[1]) for name in names if (found := _SET_ASIDE.fullmatch(name)))
