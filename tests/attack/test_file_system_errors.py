"""Any error of the file system, at any file or folder, under any verbs."""

import errno
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, note
from hypothesis import strategies as st

from tests.attack.attack import ACTING, VERBS, Attack
from tests.attack.examples import some_attacks
from tests.attack.world import World

VERB, TASK, ANY = "hpc *", "*pipeline.worker*", "*"
LASTING = 0

READING = {
    "open": (errno.EACCES, errno.ESTALE, errno.EIO, errno.EMFILE, errno.ENOMEM),
    "read": (errno.EIO, errno.ESTALE, errno.ENOMEM),
    "stat": (errno.EACCES, errno.ESTALE, errno.EIO),
    "list": (errno.EACCES, errno.ESTALE, errno.EIO, errno.EMFILE),
}
WRITING = {
    "open": (errno.EACCES, errno.ENOSPC, errno.EMFILE),
    "write": (errno.ENOSPC, errno.EIO, errno.ESTALE),
    "sync": (errno.ENOSPC, errno.EIO),
    "rename": (errno.ENOSPC, errno.EIO, errno.ESTALE, errno.EACCES),
    "close": (errno.EDQUOT, errno.EIO),
    "mkdir": (errno.ENOSPC, errno.EACCES),
    "link": (errno.ENOSPC, errno.EIO),
    "unlink": (errno.EACCES, errno.EIO),
    "lock": (errno.ENOLCK, errno.EIO),
}


@dataclass(frozen=True)
class Fault:
    """An error, how often it comes, and to whom."""

    operation: str
    error: int
    skip: int
    times: int
    process: str

    def __str__(self) -> str:
        times = f"{self.times} times" if self.times else "always"
        return (
            f"{self.operation} fails with {errno.errorcode[self.error]} {times} after "
            f"{self.skip}, in {self.process}"
        )


reading_faults = st.builds(
    lambda call, times, process: Fault(*call, 0, times, process),
    st.sampled_from([(name, error) for name, errors in READING.items() for error in errors]),
    st.sampled_from((1, LASTING)),
    st.sampled_from((VERB, ANY)),
)
# A task waits until there is room, so an error that lasts meets verbs only.
writing_faults = st.builds(
    lambda call, skip, times, process: Fault(
        *call, skip, times if process is VERB else times or 2, process
    ),
    st.sampled_from([(name, error) for name, errors in WRITING.items() for error in errors]),
    st.sampled_from((0, 0, 1, 3)),
    st.sampled_from((1, 2, LASTING)),
    st.sampled_from((VERB, TASK)),
)


def folders(world: World) -> list[Path]:
    """Return the folders of the project that have files of the program."""
    below = {parent for path in world.files() for parent in path.parents}
    return sorted(path for path in below if path.is_relative_to(world.folder))


def written_places(world: World) -> list[Path]:
    """Return where verbs and tasks write."""
    runs = world.folder / "runs"
    newer = runs / world.newer
    inside = (newer / name for name in ("work", "outputs", "logs", "submissions"))
    return [world.folder / "labels.duckdb", runs, newer, *inside]


def attack_with(attack: Attack, fault: Fault, path: Path, verbs: list[str]) -> int:
    """Run verbs while calls fail, and everything afterwards; return how many calls failed."""
    note(f"{attack.world.kind(path)}: {fault}: {verbs}")
    rule = attack.fail(path, fault.operation, fault.error, fault.skip, fault.times, fault.process)
    for verb in verbs:
        attack.verb(verb)
    injected = rule.injected
    attack.check_others()
    attack.undo()
    attack.finish()
    return injected


@some_attacks
@given(
    place=st.integers(0, 10**6),
    fault=reading_faults,
    verbs=st.lists(st.sampled_from(VERBS), min_size=1, max_size=3, unique=True),
)
def test_a_file_that_cannot_be_read_now_is_neither_missing_nor_damaged(
    world: World, place: int, fault: Fault, verbs: list[str]
) -> None:
    attack = Attack(world)
    places = folders(world) if fault.operation == "list" else world.files()
    attack_with(attack, fault, places[place % len(places)], verbs)


@some_attacks
@given(
    place=st.integers(0, 10**6),
    fault=writing_faults,
    before=st.lists(st.sampled_from(ACTING), max_size=1),
    verb=st.sampled_from(("gather newer", "resubmit newer", "supervise newer", "submit")),
)
def test_what_cannot_be_written_now_loses_and_costs_nothing(
    world: World, place: int, fault: Fault, before: list[str], verb: str
) -> None:
    attack = Attack(world)
    places = written_places(world)
    attack_with(attack, fault, places[place % len(places)], [*before, verb])
