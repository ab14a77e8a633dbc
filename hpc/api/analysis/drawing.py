"""Draw posts from the labels of a name, for people to code."""

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from hpc.api.call.argument_types import check_argument_types
from hpc.api.call.caller_screen import screen_of
from hpc.api.call.place import HERE, PathText, Place
from hpc.api.call.ranges import check_least, check_seed
from hpc.api.call.surroundings import library_call
from hpc.coding import coding_record, write_files
from hpc.coding.assign import Assignment, assign
from hpc.coding.codebook import CodedLabel, parse_labels
from hpc.coding.coding_record import CodingDescription, CodingRecord
from hpc.coding.draw_sample import (
    DrawnSample,
    DrawRequest,
    default_labels,
    draw_sample,
    label_columns,
)
from hpc.coding.write_files import CodingTask, name_files
from hpc.config import run_config
from hpc.database.export_target import KnownBacklog, backlogs_of
from hpc.database.published_labels import check_has_labels, published_labels
from hpc.display.screen import Screen
from hpc.labels.label_place import LabelPlace, find_place
from hpc.run.exit_codes import FAILED
from hpc.run.model.run import Say
from pipeline.backlog import select
from pipeline.database import duckdb_file
from pipeline.errors import InputError
from pipeline.messages.options import CODERS, OVERLAP, SEED, SIZE
from pipeline.model import POST_COLUMNS
from pipeline.run_files import sample_file
from pipeline.run_files.sample_file import Sample
from pipeline.sampling.allocate import Allocation

_LABELS = "labeled"
DEFAULT_OVERLAP = 50
_MOST_CODERS = 100
_CODER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleSettings:
    """How a sample is drawn, and who codes it."""

    labels: str = ""
    """What to code, such as `toxic:bool,side:left|right`; empty: columns of the name that fit."""
    stratify: str = ""
    """Draw separately from each value of a column, from bins of a number (`column:5`), or from
    each month (`month`)."""
    allocate: Allocation = Allocation.EQUAL
    """How the strata share the sample."""
    seed: int = 0
    """Decides which posts are drawn."""
    coders: int | str | Sequence[str] = 1
    """How many people code, or their names. Each gets a file."""
    overlap: int | None = None
    """How many posts every coder gets; None: 50, or all if there are fewer."""
    show_labels: bool = False
    """Show coders the model's labels, although people tend to agree with what they see."""
    sample_name: str = ""
    """The name of the sample; empty: made of the name and the settings."""


USUAL = SampleSettings()
"""The settings of `hpc sample` without options."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleResult:
    """A sample that was drawn, and the files for its coders."""

    sample: str
    """The name of the sample."""
    name: str
    """The name whose labels it was drawn from."""
    size: int
    """How many posts were drawn."""
    population: int
    """From how many distinct texts they were drawn."""
    files: tuple[Path, ...]
    """The files for the coders."""
    sample_file: Path = field(repr=False)
    """The file that says how likely each text was drawn."""
    labels: tuple[CodedLabel, ...] = field(repr=False)
    """What is to be coded."""
    coders: Mapping[str, int]
    """How many posts each coder gets."""
    overlap: int
    """How many posts every coder gets."""
    shows_labels: bool = field(repr=False)
    """Whether coders see the model's labels."""
    drawn: DrawnSample = field(repr=False)
    """The posts, their strata and their probabilities."""
    posts_missing: int = 0
    """How many posts of the name's runs have no published result yet, and cannot be drawn."""
    left_out: tuple[str, ...] = ()
    """A message for each output that was left out."""
    exit_code: int = 0
    """What `hpc sample` exits with: 0 done, 1 outputs were left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Drawn:
    """A sample, and what to ask about it."""

    sample: DrawnSample
    labels: tuple[CodedLabel, ...]
    model_columns: tuple[str, ...]
    posts_missing: int
    problems: tuple[str, ...]


@check_argument_types
def sample(
    name: str | None,
    to: PathText,
    size: int,
    *,
    settings: SampleSettings = USUAL,
    at: Place = HERE,
    say: Say | None = None,
) -> SampleResult:
    """Draw a random sample of labeled posts, and write the files in which people code them.

    Args:
        name: the name of the labels; None: the only one, or that of the configuration.
        to: the file to write, .csv for a spreadsheet or .json for Label Studio. Several coders get
            files beside it.
        size: how many posts to draw. Each text is drawn once.
        settings: how to draw, and who codes.
        at: where the database and the runs are.
        say: receives a message for each run or output that is left out.

    Raises:
        InputError: there are no such labels, too few texts, or a file that must not be replaced.
        RunError: the database is damaged, or an output cannot be read.
        OSError: the disk is full, or a folder is closed to this user.
    """
    check_least(SIZE, size, 1)
    check_seed(SEED, settings.seed)
    check_least(OVERLAP, settings.overlap, 0)
    screen, target = screen_of(say), Path(to).expanduser().absolute()
    coders = _name_coders(settings.coders)
    overlap = _choose_overlap(settings.overlap, size, coders)
    files = name_files(target, coders)
    with library_call():
        place = find_place(at.config_path, at.run_root_path, at.database_path)
        chosen = place.choose_name(name, at.config_path, "sample")
        write_files.check_not_posts(files, _known_backlogs(at, place))
        request = DrawRequest(
            name=chosen,
            size=size,
            seed=settings.seed,
            stratify=settings.stratify,
            allocation=settings.allocate,
            sample=settings.sample_name,
        )
        sample_file.check_name(request.sample_name)
        drawn = _draw(place, request, settings, target, screen)
        posts = drawn.sample.posts
        assignment = assign(posts["uri"].to_pylist(), coders, overlap, settings.seed)
        task = CodingTask(
            labels=drawn.labels,
            posts=posts,
            model_columns=drawn.model_columns,
            model_name=chosen,
            assignment=assignment,
        )
        contents = write_files.render(files, task)
        write_files.check_new(contents)
        coding_record.write(place.run_root, _record(drawn, coders, overlap))
        path = sample_file.write(place.run_root, _add_run_states(drawn), drawn.sample.rows)
        write_files.write(contents)
    return _describe(drawn, assignment, overlap, path, tuple(contents))


def _draw(
    place: LabelPlace,
    request: DrawRequest,
    settings: SampleSettings,
    target: Path,
    screen: Screen,
) -> _Drawn:
    labels = parse_labels(settings.labels) if settings.labels else ()
    runs = place.trusted_runs(request.name, screen)
    place.run_root.mkdir(parents=True, exist_ok=True)
    with (
        published_labels(place.database, request.name, runs, target.parent) as published,
        tempfile.TemporaryDirectory(prefix=".tmp-sample-", dir=place.run_root) as folder,
        select.staging(Path(folder), place.limits) as connection,
    ):
        check_has_labels(published, request.name)
        for problem in published.problems:
            screen(problem)
        duckdb_file.attach(connection, published.database, _LABELS)
        drawn = draw_sample(connection, _LABELS, request)
        return _Drawn(
            sample=drawn,
            labels=labels or default_labels(connection, drawn.types, request.name),
            model_columns=tuple(label_columns(drawn.types)) if settings.show_labels else (),
            posts_missing=published.posts_missing,
            problems=published.problems,
        )


def _add_run_states(drawn: _Drawn) -> Sample:
    """Return the sample with how far the runs of its name were when it was drawn."""
    return msgspec.structs.replace(drawn.sample.sample, posts_missing=drawn.posts_missing)


def _describe(
    drawn: _Drawn, assignment: Assignment, overlap: int, path: Path, files: tuple[Path, ...]
) -> SampleResult:
    described = drawn.sample.sample
    return SampleResult(
        sample=described.sample,
        name=described.name,
        size=described.size,
        population=described.population,
        files=files,
        sample_file=path,
        labels=drawn.labels,
        coders={coder: len(uris) for coder, uris in assignment.coders.items()},
        overlap=overlap,
        shows_labels=bool(drawn.model_columns),
        drawn=drawn.sample,
        posts_missing=drawn.posts_missing,
        left_out=drawn.problems,
        exit_code=FAILED if drawn.problems else 0,
    )


def _known_backlogs(at: Place, place: LabelPlace) -> Iterator[KnownBacklog]:
    """Yield where posts are read from, as far as configurations say it."""
    if at.config_path:
        folders = (at.config_path.parent.absolute(), Path.cwd())
        yield KnownBacklog(backlog=run_config.load_backlog(at.config_path), folders=folders)
    yield from backlogs_of(place.runs, (place.run_root.parent, Path.cwd()))


def _name_coders(coders: int | str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of the coders: 1, 2 and so on if only their number is given."""
    if isinstance(coders, int):
        if not 1 <= coders <= _MOST_CODERS:
            raise InputError(f"{CODERS.set_to(coders)}: should be from 1 to {_MOST_CODERS}")
        return tuple(map(str, range(1, coders + 1)))
    names = (coders,) if isinstance(coders, str) else tuple(coders)
    shown = ",".join(names)
    if not names or not all(map(_CODER.fullmatch, names)):
        raise InputError(
            f"{CODERS.set_to(shown)}: should be a number from 1 to 100, or names with commas, such "
            "as anna,ben (letters, digits, _ and -)"
        )
    if len({name.casefold() for name in names}) < len(names):
        raise InputError(f"{CODERS.set_to(shown)}: a name occurs twice")
    return names


def _choose_overlap(chosen: int | None, size: int, coders: tuple[str, ...]) -> int:
    if len(coders) == 1:
        if chosen:
            raise InputError(f"{OVERLAP} needs two or more coders: add {CODERS.set_to(2)}")
        return 0
    if chosen is None:
        return min(DEFAULT_OVERLAP, size)
    if chosen > size:
        raise InputError(f"{OVERLAP.set_to(chosen)}: there are only {size} posts to code ({SIZE})")
    if (size - chosen) and (size - chosen) < len(coders):
        raise InputError(
            f"{OVERLAP.set_to(chosen)}: the other {size - chosen} posts are too few for "
            f"{len(coders)} coders. Use {OVERLAP.set_to(size)}, so that every coder gets all posts"
        )
    return chosen


def _record(drawn: _Drawn, coders: tuple[str, ...], overlap: int) -> CodingRecord:
    sample = drawn.sample
    return CodingRecord(
        description=CodingDescription(
            sample=sample.sample.sample,
            name=sample.sample.name,
            labels=drawn.labels,
            rule=sample.rule,
            shards=sample.shards,
            coders=coders,
            overlap=overlap,
        ),
        posts=sample.posts.select([column.name for column in POST_COLUMNS]),
    )
