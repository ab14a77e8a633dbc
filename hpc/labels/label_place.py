"""Find where labels are: the database, the run root, and the runs that write to the database."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hpc.config import run_config
from hpc.database.published_labels import DatabaseContent, read_content
from hpc.reconcile.checks.trust import check_run
from hpc.run import run_folder
from hpc.run.model.run import Run, Say
from hpc.runs import find_runs
from hpc.runs.unusable_runs import UnusableRun, find_unusable
from pipeline.config.session_limits import LOGIN_NODE, SessionLimits
from pipeline.database.duckdb_file import exists
from pipeline.errors import InputError, RunError
from pipeline.messages.options import CONFIG, DATABASE, RUN_ROOT
from pipeline.run_files import score_map
from pipeline.text import did_you_mean


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelPlace:
    """Where the labels are."""

    database: Path
    run_root: Path
    content: DatabaseContent
    runs: tuple[Run, ...]
    """The runs that write to the database, oldest first."""
    unusable: tuple[UnusableRun, ...]
    limits: SessionLimits
    """How much of the machine DuckDB may take: as the configuration says, or the newest run."""

    @property
    def names(self) -> list[str]:
        """The names that have labels in the database or in a run, sorted."""
        return sorted({*self.content.names, *(run.manifest.name for run in self.runs)})

    @property
    def mapped(self) -> dict[str, str]:
        """The names of mapped labels, each with the name whose labels it maps."""
        names: dict[str, str] = {}
        for root in sorted({self.run_root, *self.content.run_roots}):
            for path in score_map.list_files(root):
                with suppress(InputError, OSError):  # the next gather says what is wrong with it
                    made = score_map.read(path)
                    names[made.name] = made.b
        return names

    def choose_name(
        self,
        name: str | None,
        config: Path | None,
        verb: str = "export",
        *,
        also: Collection[str] = (),
    ) -> str:
        """Return the name that is meant, which has labels in the database or in a run.

        Args:
            name: as a person gave it; None if they did not.
            config: the configuration, whose name is meant then.
            verb: the command, for the message.
            also: names that this command knows beside these.

        Raises:
            InputError: there is no such name, or nobody can tell which one is meant.
        """
        names = self.names
        if name is None and config:
            name = run_config.load_name(config)
        if name is None and len(names) == 1:
            name = names[0]
        if not names and not exists(self.database):
            raise InputError(
                f"there is no database {self.database}, and no run of it under {self.run_root}; "
                f"name them with {CONFIG}, or with {DATABASE} and {RUN_ROOT}"
            )
        available = f"{self.database} has labels of: {', '.join(names) or 'no name'}"
        if name is None:
            raise InputError(f"which labels? Put a NAME after {verb}; {available}")
        if name not in (*names, *also):
            raise InputError(
                f"there are no labels of the name {name!r}{did_you_mean(name, names)}; {available}"
            )
        return name

    def trusted_runs(self, name: str, say: Say) -> list[Run]:
        """Return the runs of a name whose outputs count, and say which do not."""
        for each in self.unusable:
            if each.may_be_of(name):
                say(str(each))
        trusted = []
        for run in self.runs:
            if run.manifest.name != name:
                continue
            try:
                check_run(run)
            except InputError as error:
                say(f"run {run.run_id} is left out: {error}")
            else:
                trusted.append(run)
        return trusted


def find_place(
    config: Path | None, run_root: Path | None, chosen_database: Path | None
) -> LabelPlace:
    """Return where labels are, as a configuration or a person says; else `runs`, `labels.duckdb`.

    Raises:
        InputError: the configuration cannot be read.
        RunError: the database is damaged, or of another program.
    """
    root, database = run_root or Path("runs"), chosen_database or Path("labels.duckdb")
    limits: SessionLimits | None = None
    if config:
        storage = run_config.load_storage(config)
        limits = storage.limits
        root, database = storage.run_root, chosen_database or storage.database
    database = database.expanduser().absolute()
    root = root.expanduser().absolute()
    content = read_content(database)
    runs, unusable = _load_runs(database, (root, *content.run_roots))
    return LabelPlace(
        database=database,
        run_root=root,
        content=content,
        runs=tuple(runs),
        unusable=tuple(unusable),
        limits=limits or (runs[-1].limits if runs else LOGIN_NODE),
    )


def _load_runs(database: Path, roots: Iterable[Path]) -> tuple[list[Run], list[UnusableRun]]:
    """Return the runs that write to a database, oldest first, and those that cannot be read."""
    runs: dict[str, Run] = {}
    unusable: list[UnusableRun] = []
    for root in filter(Path.is_dir, sorted(set(roots))):
        unusable += find_unusable(root)
        for folder in find_runs.all_runs(root):
            try:
                run = run_folder.load(folder)
            except (InputError, RunError, OSError) as error:
                unusable.append(UnusableRun(folder, str(error), error))
                continue
            if Path(run.manifest.database).resolve() == database.resolve():
                runs[run.run_id] = run
    return sorted(runs.values(), key=lambda run: run.age), unusable
