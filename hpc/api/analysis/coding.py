"""Import what people coded, as labels of a name of their own."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.caller_screen import screen_of
from hpc.api.call.place import HERE, PathText, Place
from hpc.api.call.surroundings import library_call
from hpc.coding import coding_record
from hpc.coding.codebook import as_typed
from hpc.coding.describe_import import describe_agreement, list_undecided
from hpc.coding.gold_run import GoldRequest, ImportedRun, check_gold_name, import_run
from hpc.coding.import_codings import CodedSample, read_import
from hpc.coding.read_codings import find_sample
from hpc.coding.resolve import NOT_CODED, Disagreement
from hpc.comparison.suggest_pairs import PairHint, suggest_pairs
from hpc.display.next_step import command
from hpc.display.screen import Screen
from hpc.executors.factory import executor_of
from hpc.labels.label_place import LabelPlace, find_place
from hpc.reconcile.gathering.gather import gather_run
from hpc.run.exit_codes import FAILED
from hpc.run.model.run import Run, Say
from pipeline.analysis.coder_agreement import CoderAgreement
from pipeline.database.duckdb_file import HeldDatabaseError
from pipeline.errors import InputError
from pipeline.messages.options import CODER_NAMES
from pipeline.run_files import sample_file
from pipeline.text import counted


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldSettings:
    """How codings are imported."""

    sample: str = ""
    """The sample that was coded; empty: the only one that has all the posts."""
    coders: Sequence[str] = ()
    """Who coded each file, in the order of the files; empty: its column coder, or its name."""
    resolve: PathText = ""
    """Where coders disagree: `majority`, `first`, or a file of decisions; empty: reject that."""
    supersede: bool = False
    """Replace what was imported under the name before; the old codings are kept."""


USUAL = GoldSettings()
"""The settings of `hpc gold` without options."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldResult:
    """What people coded, as it was imported."""

    run: Run = field(repr=False)
    """The run that holds the codings."""
    is_new: bool
    """Whether it was made now; False if exactly these codings were imported before."""
    name: str
    """The name of the codings."""
    sample: str
    """The sample that was coded."""
    sampled_name: str
    """The name from whose labels the sample was drawn."""
    posts: int
    """How many posts the sample has."""
    coded: int
    """How many of them are coded."""
    uncoded: Mapping[str, int]
    """How many are not, by reason."""
    coders: tuple[str, ...]
    """Who coded."""
    agreement: tuple[CoderAgreement, ...] = field(repr=False)
    """How far the coders agree, by label."""
    disagreements: tuple[Disagreement, ...] = field(repr=False)
    """What they disagree about, and what became of it."""
    undecided: tuple[Disagreement, ...] = field(repr=False)
    """Those of them that stay uncoded."""
    pairing: PairHint = field(repr=False)
    """How `compare` can pair the columns of the name and of the codings."""
    is_gathered: bool
    """Whether the database has the codings; False if somebody has it open."""
    exit_code: int
    """What `hpc gold` exits with: 0 done, 1 the codings are not all in the database."""


@check_argument_types
def gold(
    files: PathText | Sequence[PathText],
    name: str,
    *,
    settings: GoldSettings = USUAL,
    at: Place = HERE,
    say: Say | None = None,
) -> GoldResult:
    """Import files in which people coded a sample, as labels under a name of their own.

    Args:
        files: one file or several: .csv, or .json as Label Studio exports it.
        name: the name of the codings, such as `gold_anna`.
        settings: who coded, and what to do where coders disagree.
        at: where the database and the runs are.
        say: receives each message, and how well the coders agree.

    Raises:
        InputError: a file, the name or the sample is wrong, or coders disagree and no setting says
            what to do then.
        RunError: the database is damaged.
        OSError: the disk is full, or a folder is closed to this user.
    """
    check_gold_name(name)
    several = [files] if isinstance(files, str | PathLike) else list(files)
    paths = [Path(path).expanduser().absolute() for path in several]
    coders = _name_coders(settings.coders, paths)
    rule, screen = str(settings.resolve), screen_of(say)
    with library_call():
        place = find_place(at.config_path, at.run_root_path, at.database_path)
        sample = settings.sample or find_sample(place.run_root, paths)
        record = coding_record.read(place.run_root, sample)
        _check_sample(place.run_root, sample)
        read = read_import(paths, coders, record, rule)
        imported = import_run(
            GoldRequest(
                name=name,
                run_root=place.run_root,
                database=place.database,
                record=record,
                resolved=read.resolved,
                codings=read.codings.codings,
                coders=read.codings.coders,
                rule=rule if read.resolved.disagreements else "",
                files=paths,
                trust_group=_trusts_group(place),
                supersede=settings.supersede,
            )
        )
        _report(name, read, imported, screen)
        code, gathered = _gather(imported, screen)
        pairing = (
            suggest_pairs(place.database, record.description.name, name) if gathered else PairHint()
        )
    return GoldResult(
        run=imported.run,
        is_new=imported.is_new,
        name=name,
        sample=sample,
        sampled_name=record.description.name,
        posts=record.posts.num_rows,
        coded=record.posts.num_rows - read.uncoded.total(),
        uncoded=dict(read.uncoded),
        coders=tuple(read.codings.coders),
        agreement=read.agreement,
        disagreements=tuple(read.resolved.disagreements),
        undecided=tuple(read.resolved.undecided),
        pairing=pairing,
        is_gathered=gathered,
        exit_code=code,
    )


def _name_coders(named: Sequence[str], paths: Sequence[Path]) -> list[str]:
    if not paths:
        raise InputError("files: name one or more files of codings")
    if named and len(named) != len(paths):
        raise InputError(
            f"{CODER_NAMES}: {counted(len(named), 'coder')} for {counted(len(paths), 'file')}: "
            "name one for each file, in their order"
        )
    if len(set(paths)) < len(paths):
        raise InputError("the same FILE is given twice")
    return [name.strip() for name in named] or [""] * len(paths)


def _check_sample(run_root: Path, sample: str) -> None:
    """Raise InputError if nobody knows how likely the posts of a sample were drawn."""
    try:
        sample_file.read(sample_file.path_of(run_root, sample))
    except FileNotFoundError:
        raise InputError(
            f"{sample_file.path_of(run_root, sample)} is missing. It says how likely each post was "
            "drawn: run the same hpc sample command again, or restore the file"
        ) from None


def _trusts_group(place: LabelPlace) -> bool:
    """Tell whether others may write to new runs: as in the newest run under the run root."""
    here = [run for run in place.runs if run.folder.parent == place.run_root]
    return bool(here and here[-1].manifest.trust_group)


def _report(name: str, read: CodedSample, imported: ImportedRun, say: Say) -> None:
    posts, uncoded = read.record.posts.num_rows, read.uncoded
    say(f"run {imported.run.folder}")
    if not imported.is_new:
        say("these codings were imported before, so nothing was added")
    rest = "".join(
        f", {number:,} {'not coded' if reason == NOT_CODED else 'undecided'}"
        for reason, number in sorted(uncoded.items())
    )
    say(
        f"{name}: {posts - uncoded.total():,} of {counted(posts, 'post')} of sample "
        f"{read.record.description.sample} are coded{rest}"
    )
    for label in read.record.description.labels:
        values = Counter(
            as_typed(values[label.name])
            for values in read.resolved.values.values()
            if values[label.name] is not None
        )
        most = ", ".join(f"{value} {number:,}" for value, number in values.most_common(5))
        say(f"  {label.name}: {values.total():,} coded{f' ({most})' if values else ''}")
    for path in read.codings.without_text:
        say(f"{path} has no column text, so whether its posts are unchanged is not checked")
    for line in describe_agreement(read.agreement):
        say(line)
    undecided = read.resolved.undecided
    if undecided:
        say(f"{counted(len(undecided), 'value')} stayed undecided and therefore uncoded:")
    for line in list_undecided(undecided):
        say(f"  {line}")


def _gather(imported: ImportedRun, screen: Screen) -> tuple[int, bool]:
    run = imported.run
    try:
        gathered, _ = gather_run(run, executor_of(run), screen)
    except HeldDatabaseError as error:
        screen(f"{error.where}, so the codings are not in it yet. Close it there, and then type:")
        screen(command("gather", run))
        return FAILED, False
    return (FAILED if gathered.rejected or gathered.unreadable else 0), True
