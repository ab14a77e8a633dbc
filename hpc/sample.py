"""Run `hpc sample`: draw posts from the labels of a name, for people to code."""

import argparse
import shlex
from pathlib import Path

from hpc.api.analysis.drawing import DEFAULT_OVERLAP, SampleResult, SampleSettings, sample
from hpc.coding.write_files import FileKind
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb, chosen_place
from hpc.display.console import Printer
from hpc.runs.missing_posts import describe_missing
from pipeline.sampling.allocate import Allocation
from pipeline.text import counted


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
        help=f"how many posts every coder gets (default: {DEFAULT_OVERLAP}, or all if fewer)",
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


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Draw a sample, and write the files for coders."""
    settings = SampleSettings(
        labels=options.labels,
        stratify=options.stratify,
        allocate=Allocation(options.allocate),
        seed=options.seed,
        coders=_parse_coders(options.coders),
        overlap=options.overlap,
        show_labels=options.show_labels,
        sample_name=options.sample_name,
    )
    result = sample(
        options.name,
        options.out,
        options.n,
        settings=settings,
        at=chosen_place(options),
        say=printer,
    )
    for line in _describe(result):
        printer(line)
    described = result.drawn.sample
    document = {
        "sample": result.sample,
        "sample_file": str(result.sample_file),
        "name": result.name,
        "seed": described.seed,
        "size": result.size,
        "population": result.population,
        "population_posts": result.drawn.population_posts,
        "not_in_population": result.drawn.left_out,
        "posts_missing": result.posts_missing,
        "strata": [stratum.to_json() for stratum in described.strata],
        "labels": [label.to_json() for label in result.labels],
        "files": [str(each) for each in result.files],
        "coders": dict(result.coders),
        "overlap": result.overlap,
        "notes": list(result.drawn.notes),
        "left_out": list(result.left_out),
    }
    return result.exit_code, document


def _parse_coders(text: str) -> int | tuple[str, ...]:
    """Return the number of coders, or their names."""
    return int(text) if text.isdecimal() else tuple(name.strip() for name in text.split(","))


def _describe(result: SampleResult) -> list[str]:
    """Return what a person should know about a sample."""
    described, posts = result.drawn.sample, result.drawn.population_posts
    copies = (
        f" (of {counted(posts, 'labeled post')}; equal texts count once)"
        if posts > result.population
        else ""
    )
    lines = [
        f"sample {result.sample}: {result.size:,} of {result.population:,} texts of "
        f"{result.name}{copies}, seed {described.seed}"
    ]
    if result.drawn.left_out:
        lines.append(
            f"not in the population: {counted(result.drawn.left_out, 'post')} that {result.name} "
            "could not label"
        )
    if result.posts_missing:
        consequence = "cannot be drawn, so the sample stands only for the posts labeled so far"
        lines.append(describe_missing(result.name, result.posts_missing, consequence))
    if len(described.strata) > 1:
        lines += [
            f"  {stratum.stratum}: {stratum.size:,} of {stratum.population:,}"
            for stratum in described.strata
        ]
    lines += result.drawn.notes
    lines.append(f"to code: {', '.join(label.words for label in result.labels)}")
    if result.shows_labels:
        lines.append(
            "coders see the model's labels, so their codings do not measure it independently"
        )
    lines += [f"wrote {path}" for path in result.files]
    lines.append(f"wrote {result.sample_file}, which says how likely each text was drawn")
    files = [path for path in result.files if path.suffix != ".xml"]
    is_spreadsheet = files[0].suffix.lower() == FileKind.CSV
    codings = " ".join(map(_relative, files)) if is_spreadsheet else "EXPORT.json"
    lines.append(f"next, after coding: hpc gold {codings} --as gold --sample {result.sample}")
    return lines


def _relative(path: Path) -> str:
    """Return a path as a person types it, from the working folder if it lies below that."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


VERB = Verb(
    name="sample",
    example="hpc sample perspective --n 200 --labels toxic:bool --out coding.csv",
    arguments=arguments,
    act=act,
    if_interrupted="the same command draws the same posts and writes all files",
)

if __name__ == "__main__":
    cli.main(VERB)
