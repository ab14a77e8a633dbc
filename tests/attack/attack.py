"""One attack on the world: what is damaged, what verbs do then, and whether all is well at the end.

The rules, whatever the damage:

- A verb ends, with an exit code of its own and without a traceback.
- If it ends in another way than on an undamaged project, it names the file or its run.
- What is published and intact stays as it is. Of what is not, nothing is deleted.
- Nobody pays for a post again unless its only paid answer was destroyed.
- The other run's verbs work as before.
- Once the file is back, every post gets exactly one row, and the audit says so.
"""

import hashlib
import re
import stat
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.attack.faults import Fault
from tests.attack.world import NEW, NEWER, OLD, POSTS_IN_SHARD, Ended, World
from tests.pipeline import run_builders

CONFIG = ("--config", "run.yaml")
EXIT_CODES = (0, 1, 2, 3)


def command_lines(world: World) -> dict[str, tuple[str, ...]]:
    """Return the verbs that are run, by how the tests name them."""
    return {
        "status": ("status",),
        "status old": ("status", world.old),
        "status newer": ("status", world.newer),
        "status handed": ("status", world.handed),
        "logs old": ("logs", world.old, "0-2"),
        "logs newer": ("logs", world.newer, "0-2"),
        "audit": ("audit", *CONFIG),
        "report old": ("report", world.old, "--out", "page.html", "--force"),
        "report newer": ("report", world.newer, "--out", "page.html", "--force"),
        "submit --dry-run": ("submit", *CONFIG, "--dry-run"),
        "resubmit --dry-run": ("resubmit", world.newer, "--dry-run"),
        "gather old": ("gather", world.old),
        "gather newer": ("gather", world.newer),
        "adopt handed": ("adopt", f"runs/{world.handed}/answers"),
        "gather --rebuild": ("gather", "--rebuild", world.old),
        "cancel newer": ("cancel", world.newer),
        "resubmit newer": ("resubmit", world.newer),
        "supervise old": ("supervise", world.old),
        "supervise newer": ("supervise", world.newer),
        "submit": ("submit", *CONFIG),
    }


# These start nothing and change no output.
LOOKING = (
    "status", "status old", "status newer", "status handed", "logs old", "logs newer", "audit",
    "report old", "report newer",
)  # fmt: skip
PREPARING = ("submit --dry-run", "resubmit --dry-run")
ACTING = (
    "gather old", "gather newer", "gather --rebuild", "adopt handed", "cancel newer",
    "resubmit newer", "supervise old", "supervise newer", "submit",
)  # fmt: skip
VERBS = (*LOOKING, *PREPARING, *ACTING)
# In the undamaged world, all others end with 0: shards of the interrupted run have failed.
NOT_DONE = {"status": 1, "status newer": 1, "status handed": 1, "adopt handed": 3, "audit": 1}


def digest(path: Path) -> str:
    """Return what a path is, without opening anything but a regular file."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return "missing"
    if not stat.S_ISREG(mode):
        return stat.filemode(mode)
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Attack:
    """A restored world, in which some files are going to be damaged."""

    def __init__(self, world: World) -> None:
        world.restore()
        world.faults.clear()
        self.world = world
        self._before = {path: path.read_bytes() for path in world.files()}
        self._damaged: dict[Path, str] = {}
        self._suspects: set[Path] = set()
        self._history: list[str] = []
        self.destroyed: Counter[str] = Counter()

    def note_damage(self) -> None:
        """Look which files are not what they were."""
        for path, content in self._before.items():
            if digest(path) != hashlib.sha256(content).hexdigest():
                self._damaged[path] = digest(path)
                self._suspects.add(path)
                self.destroyed |= Counter(answers_in(self.world, path))

    def fail(
        self, path: Path, operation: str, error: int, skip: int, times: int, process: str
    ) -> Fault:
        """Let the file system fail at a file, or at all below a folder."""
        self._suspects.add(path)
        pattern = f"{path}" if operation == "list" else f"{path}*"
        return self.world.faults.fail(
            operation, pattern, error, skip=skip, times=times, process=process
        )

    def verb(self, name: str) -> Ended:
        """Run a verb, and check what holds for every verb."""
        ended, problems = self._run(name)
        assert problems == [], (problems, self._history, ended)
        return ended

    def try_verb(self, name: str) -> list[str]:
        """Run a verb, and return what is wrong then."""
        return self._run(name)[1]

    def _run(self, name: str) -> tuple[Ended, list[str]]:
        ended = self.world.hpc(*command_lines(self.world)[name])
        self._history.append(f"{name} -> {ended.code}")
        return ended, [*self._problems_of(name, ended), *self.problems()]

    def _problems_of(self, name: str, ended: Ended) -> Iterable[str]:
        if ended.code is None:
            yield "it hung"
        elif ended.code not in EXIT_CODES:
            yield f"its exit code is {ended.code}"
        if re.search("^Traceback", ended.said, re.MULTILINE):  # `logs` shows those of tasks
            yield "it printed a traceback"
        usual = {NOT_DONE.get(name, 0)} | ({0} if len(self._history) > 1 else set())
        names = [word for path in self._suspects for word in self._names_of(path)]
        if ended.code not in usual and not any(name in ended.said for name in names):
            yield f"its exit code is {ended.code}, and it does not name the file"

    def _names_of(self, path: Path) -> list[str]:
        all_runs = (self.world.old, self.world.newer, self.world.handed)
        runs = path.relative_to(self.world.folder).parts[1:2] or all_runs
        return [path.name, *(name for name in runs if name in all_runs)]

    def problems(self) -> list[str]:
        """Return what was lost, or was paid for twice, so far."""
        allowed = self.destroyed + Counter(unpaid())
        again = {uri: count for uri, count in self.world.paid().items() if count > allowed[uri]}
        problems = [f"paid for again: {number(uri)}" for uri in again]
        for path, content in self._before.items():
            if path.parent.name in ("outputs", "shards", "raw"):
                copies = [path, *path.parent.glob(f"{path.name}*")]
                if path not in self._damaged:
                    kept = digest(path) == hashlib.sha256(content).hexdigest()
                else:
                    was = self._damaged[path]
                    kept = was == "missing" or was in map(digest, copies)
                if not kept:
                    problems.append(f"changed: {self.world.kind(path)}")
        return problems

    def check_others(self) -> None:
        """Check that the run that was not attacked works as before."""
        attacked = {self.world.kind(path).split("/")[0] for path in self._suspects}
        for run in {"old", "newer"} - attacked:
            if attacked <= {"old", "newer"}:
                name = f"status {run}"
                ended = self.world.hpc(*command_lines(self.world)[name])
                assert ended.code in (0, NOT_DONE.get(name, 0)), (self._history, ended)

    def undo(self) -> None:
        """Put back the files that are still damaged."""
        self.world.faults.clear()
        for path, damage in list(self._damaged.items()):
            if digest(path) in (damage, "missing"):
                remove(path)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self._before[path])
                del self._damaged[path]

    def finish(self) -> None:
        """Bring both runs to their end, label what is new, and check every post."""
        world = self.world
        self._history.append("undone")
        # This finishes a run that was interrupted, too.
        if self._end("submit", *CONFIG) != 0:  # it needed a person
            self._end("resubmit", world.newer, "--force")
            assert self._end("supervise", world.newer) == 0, self._history
            assert self._end("supervise", world.old) == 0, self._history
            assert self._end("submit", *CONFIG) == 0, self._history
        if self._end("audit", *CONFIG) != 0:
            assert self._end("gather", world.old) == 0, self._history
            assert self._end("gather", world.newer) == 0, self._history
            assert self._end("audit", *CONFIG) == 0, self._history
        everything = [run_builders.uri(number) for number in range(OLD + NEWER + NEW)]
        rows = world.bench.query("SELECT uri, length FROM labels_test ORDER BY uri")
        lengths = [len(f"what a fine day {number}") for number in range(len(everything))]
        assert rows == list(zip(everything, lengths, strict=True)), self._history
        problems = self.problems()
        assert problems == [], (problems, self._history)

    def _end(self, *command: str) -> int | None:
        ended = self.world.hpc(*command)
        self._history.append(f"{ended}")
        return ended.code


def remove(path: Path) -> None:
    """Remove what may be anything."""
    if path.is_dir() and not path.is_symlink():
        for inner in path.iterdir():
            inner.unlink()
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def number(uri: str) -> int:
    return int(uri.rpartition("/")[2])


def unpaid() -> list[str]:
    """Return the posts that nobody has paid for when the world is made."""
    return [run_builders.uri(number) for number in range(OLD + 5, OLD + NEWER + NEW)]


def answers_in(world: World, path: Path) -> list[str]:
    """Return the posts whose only paid answers are in a file."""
    run, *folders = world.kind(path).split("/")
    first = {"old": 0, "newer": OLD}.get(run)
    if first is None or folders[0] not in ("outputs", "work"):
        return []
    shard = int(path.stem if folders[0] == "outputs" else folders[1])
    begin = first + shard * POSTS_IN_SHARD
    answered = [run_builders.uri(at) for at in range(begin, begin + POSTS_IN_SHARD)]
    return [uri for uri in answered if uri not in unpaid()]
