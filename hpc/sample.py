"""Run `hpc sample`: draw posts from the labels of a name, for people to code."""

import argparse
import re
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hpc.coding import coding_record, write_files
from hpc.coding.assign import assign
from hpc.coding.codebook import CodedLabel, parse_labels
from hpc.coding.coding_record import CodingDescription, CodingRecord
from hpc.coding.draw_sample import (
    DrawnSample,
    DrawRequest,
    default_labels,
    draw_sample,
    label_columns,
)
from hpc.coding.write_files import CodingTask, FileKind, name_files
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb
from hpc.config import run_config
from hpc.database.export_target import KnownBacklog, backlogs_of
from hpc.database.published_labels import published_labels
from hpc.display.console import Printer
from hpc.labels.label_place import LabelPlace, find_place
from hpc.run.exit_codes import FAILED
from pipeline.backlog import select
from pipeline.database import duckdb_file
from pipeline.errors import InputError
from pipeline.model import POST_COLUMNS
from pipeline.run_files import sample_file
from pipeline.sampling.allocate import Allocation
from pipeline.text import counted

_LABELS = "labeled"
_DEFAULT_OVERLAP = 50
_CODER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc sample`."""
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a name of labels (default: the configuration's)"
    )
    parser.add_argument(
        "--n",
        type=cli.at_least(1),
        required=True,
        metavar="N",
        help="how many posts to draw; each text is drawn once",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="the file to write: .csv for a spreadsheet, .json for Label Studio",
    )
    parser.add_argument(
        "--labels",
        default="",
        metavar="LABELS",
        help="what to code, such as 'toxic:bool,side:left|right|unclear,score:number:0:1' "
        "(default: the columns of NAME that are true or false, or hold one of a few words)",
    )
    parser.add_argument(
        "--stratify",
        default="",
        metavar="COLUMN",
        help="draw separately from each value of a column, from five bins of a number (COLUMN:5), "
        "or from each month (month)",
    )
    parser.add_argument(
        "--allocate",
        choices=list(map(str, Allocation)),
        default=str(Allocation.EQUAL),
        help="with --stratify: how the strata share the sample (default: equal)",
    )
    parser.add_argument(
        "--seed",
        type=cli.at_least(0),
        default=0,
        metavar="S",
        help="decides which posts are drawn (default: 0)",
    )
    parser.add_argument(
        "--coders",
        default="1",
        metavar="N|A,B",
        help="how many people code, or their names; each gets a file",
    )
    parser.add_argument(
        "--overlap",
        type=cli.at_least(0),
        metavar="N",
        help=f"how many posts every coder gets (default: {_DEFAULT_OVERLAP}, or all if fewer)",
    )
    parser.add_argument(
        "--show-labels",
        action="store_true",
        help="show coders the model's labels, although people tend to agree with what they see",
    )
    parser.add_argument(
        "--sample-name",
        default="",
        metavar="SAMPLE",
        help="name the sample (default: made of NAME and the options)",
    )
    parser.add_argument(
        "--database", type=Path, metavar="FILE", help="use this database instead of labels.duckdb"
    )
    cli.root_arguments(parser, "use this configuration's name, database and run root")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Drawn:
    """A sample, and what to ask about it."""

    sample: DrawnSample
    labels: tuple[CodedLabel, ...]
    model_columns: tuple[str, ...]


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Draw a sample, and write the files for coders."""
    target = options.out.expanduser().absolute()
    coders = _parse_coders(options.coders)
    overlap = _overlap(options, coders)
    files = name_files(target, coders)
    labels = parse_labels(options.labels) if options.labels else ()
    place = find_place(options.config, options.run_root, options.database)
    name = place.choose_name(options.name, options.config, "sample")
    write_files.check_not_posts(files, _known_backlogs(options, place))
    request = DrawRequest(
        name=name,
        size=options.n,
        seed=options.seed,
        stratify=options.stratify,
        allocation=Allocation(options.allocate),
        sample=options.sample_name,
    )
    sample_file.check_name(request.sample_name)
    runs = place.trusted_runs(name, printer)
    place.run_root.mkdir(parents=True, exist_ok=True)
    with (
        published_labels(place.database, name, runs, target.parent) as published,
        tempfile.TemporaryDirectory(prefix=".tmp-sample-", dir=place.run_root) as folder,
        select.staging(Path(folder)) as connection,
    ):
        for problem in published.problems:
            printer(problem)
        duckdb_file.attach(connection, published.database, _LABELS)
        sample = draw_sample(connection, _LABELS, request)
        drawn = _Drawn(
            sample=sample,
            labels=labels or default_labels(connection, sample.types, name),
            model_columns=tuple(label_columns(sample.types)) if options.show_labels else (),
        )
    assignment = assign(sample.posts["uri"].to_pylist(), coders, overlap, options.seed)
    contents = write_files.render(
        files,
        CodingTask(
            labels=drawn.labels,
            posts=sample.posts,
            model_columns=drawn.model_columns,
            model_name=name,
            assignment=assignment,
        ),
    )
    write_files.check_new(contents)
    record = _record(drawn, coders, overlap)
    coding_record.write(place.run_root, record)
    path = sample_file.write(place.run_root, sample.sample, sample.rows)
    write_files.write(contents)
    _report(drawn, contents, path, printer)
    document = {
        "sample": sample.sample.sample,
        "sample_file": str(path),
        "name": name,
        "seed": options.seed,
        "size": sample.sample.size,
        "population": sample.sample.population,
        "population_posts": sample.population_posts,
        "not_in_population": sample.left_out,
        "strata": [stratum.to_json() for stratum in sample.sample.strata],
        "labels": [label.to_json() for label in drawn.labels],
        "files": [str(each) for each in contents],
        "coders": {coder: len(uris) for coder, uris in assignment.coders.items()},
        "overlap": overlap,
        "notes": list(sample.notes),
        "left_out": list(published.problems),
    }
    return FAILED if published.problems else 0, document


def _known_backlogs(options: argparse.Namespace, place: LabelPlace) -> Iterator[KnownBacklog]:
    """Yield where posts are read from, as far as configurations say it."""
    if options.config:
        folders = (options.config.parent.absolute(), Path.cwd())
        yield KnownBacklog(backlog=run_config.load_backlog(options.config), folders=folders)
    yield from backlogs_of(place.runs, (place.run_root.parent, Path.cwd()))


def _parse_coders(text: str) -> tuple[str, ...]:
    """Return the names of the coders: 1, 2 and so on if only their number is given."""
    if text.isdecimal() and 1 <= int(text) <= 100:
        return tuple(map(str, range(1, int(text) + 1)))
    coders = tuple(name.strip() for name in text.split(","))
    if not all(map(_CODER.fullmatch, coders)) or text.isdecimal():
        raise InputError(
            f"--coders {text}: should be a number from 1 to 100, or names with commas, such as "
            "anna,ben (letters, digits, _ and -)"
        )
    if len({coder.casefold() for coder in coders}) < len(coders):
        raise InputError(f"--coders {text}: a name occurs twice")
    return coders


def _overlap(options: argparse.Namespace, coders: tuple[str, ...]) -> int:
    size: int = options.n
    chosen: int | None = options.overlap
    if len(coders) == 1:
        if chosen:
            raise InputError("--overlap needs two or more coders: add --coders 2")
        return 0
    if chosen is None:
        return min(_DEFAULT_OVERLAP, size)
    if chosen > size:
        raise InputError(f"--overlap {chosen}: there are only {size} posts to code (--n)")
    if (size - chosen) and (size - chosen) < len(coders):
        raise InputError(
            f"--overlap {chosen}: the other {size - chosen} posts are too few for {len(coders)} "
            f"coders. Use --overlap {size}, so that every coder gets all posts"
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


def _report(drawn: _Drawn, contents: dict[Path, bytes], sample: Path, printer: Printer) -> None:
    described = drawn.sample.sample
    posts = drawn.sample.population_posts
    copies = (
        f" (of {counted(posts, 'labeled post')}; equal texts count once)"
        if posts > described.population
        else ""
    )
    printer(
        f"sample {described.sample}: {described.size:,} of {described.population:,} texts "
        f"of {described.name}{copies}, seed {described.seed}"
    )
    if drawn.sample.left_out:
        printer(
            f"not in the population: {counted(drawn.sample.left_out, 'post')} that "
            f"{described.name} could not label"
        )
    if len(described.strata) > 1:
        for stratum in described.strata:
            printer(f"  {stratum.stratum}: {stratum.size:,} of {stratum.population:,}")
    for note in drawn.sample.notes:
        printer(note)
    printer(f"to code: {', '.join(label.words for label in drawn.labels)}")
    if drawn.model_columns:
        printer("coders see the model's labels, so their codings do not measure it independently")
    for path in contents:
        printer(f"wrote {path}")
    printer(f"wrote {sample}, which says how likely each text was drawn")
    files = [path for path in contents if path.suffix != ".xml"]
    is_spreadsheet = files[0].suffix.lower() == FileKind.CSV
    codings = " ".join(map(_relative, files)) if is_spreadsheet else "EXPORT.json"
    printer(f"next, after coding: hpc gold {codings} --as gold --sample {described.sample}")


def _relative(path: Path) -> str:
    """Return a path as a person types it, from the working folder if it lies below that."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


VERB = Verb(
    name="sample",
    example="hpc sample perspective --n 200 --stratify prob_toxic:5 --labels toxic:bool "
    "--out coding.csv",
    arguments=arguments,
    act=act,
)

if __name__ == "__main__":
    cli.main(VERB)
