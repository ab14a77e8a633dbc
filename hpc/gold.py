"""Run `hpc gold`: import what people coded, as labels of a name of their own."""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hpc.coding import coding_record
from hpc.coding.coding_record import CodingRecord
from hpc.coding.gold_run import GoldRequest, ImportedRun, check_gold_name, import_run
from hpc.coding.read_codings import Codings, check_codings, find_sample, parse_file
from hpc.coding.resolve import NOT_CODED, Resolved, Rule, measure_coders, resolve
from hpc.command_line import cli
from hpc.command_line.verb import Outcome, Verb
from hpc.display.console import Printer
from hpc.display.next_step import command
from hpc.executors.factory import executor_of
from hpc.labels.label_place import LabelPlace, find_place
from hpc.reconcile.gather import gather_run
from hpc.run.exit_codes import FAILED
from pipeline.analysis.coder_agreement import CoderAgreement
from pipeline.database.duckdb_file import HeldDatabaseError
from pipeline.errors import InputError
from pipeline.run_files import sample_file
from pipeline.text import counted

_MOST_SHOWN = 20
_RULES = {"majority": Rule.MAJORITY, "first": Rule.FIRST}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hpc gold`."""
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="coded files: .csv, or .json as Label Studio exports it (JSON or JSON-MIN)",
    )
    parser.add_argument(
        "--as",
        dest="name",
        required=True,
        metavar="NAME",
        help="the name of the codings, such as gold_anna; their table is labels_NAME",
    )
    parser.add_argument(
        "--sample",
        default="",
        metavar="SAMPLE",
        help="the sample that was coded (default: the only one that has all the posts)",
    )
    parser.add_argument(
        "--coder",
        action="append",
        default=[],
        metavar="CODER",
        help="who coded a FILE; repeat it for each FILE (default: its column coder, or its name)",
    )
    parser.add_argument(
        "--resolve",
        default="",
        metavar="majority|first|FILE",
        help="where coders disagree: use the value of most coders (for numbers, the mean), of the "
        "first FILE, or of a file of decisions",
    )
    parser.add_argument(
        "--supersede",
        action="store_true",
        help="replace what was imported under NAME before; the old codings are kept",
    )
    parser.add_argument(
        "--database", type=Path, metavar="FILE", help="use this database instead of labels.duckdb"
    )
    cli.root_arguments(parser, "use this configuration's database and run root")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Import:
    """What was read, checked and resolved."""

    record: CodingRecord
    codings: Codings
    resolved: Resolved
    agreement: tuple[CoderAgreement, ...]

    @property
    def uncoded(self) -> Counter[str]:
        """Return how many posts have no value at all, by reason."""
        return Counter(self.resolved.reasons.values())


def act(options: argparse.Namespace, printer: Printer) -> Outcome:
    """Import codings, and gather them."""
    check_gold_name(options.name)
    paths = [path.expanduser().absolute() for path in options.files]
    coders = _coders(options.coder, paths)
    place = find_place(options.config, options.run_root, options.database)
    sample = options.sample or find_sample(place.run_root, paths)
    record = coding_record.read(place.run_root, sample)
    _check_sample(place.run_root, sample)
    read = _read(paths, coders, record, options.resolve)
    imported = import_run(
        GoldRequest(
            name=options.name,
            run_root=place.run_root,
            database=place.database,
            record=record,
            resolved=read.resolved,
            codings=read.codings.codings,
            coders=read.codings.coders,
            rule=options.resolve if read.resolved.disagreements else "",
            files=paths,
            trust_group=_trusts_group(place),
            supersede=options.supersede,
        )
    )
    _report(options.name, read, imported, printer)
    code, gathered = _gather(imported, printer)
    name = record.description.name
    printer(f"next: hpc compare {name} --gold {options.name}")
    document = {
        "run_id": imported.run.run_id,
        "run_dir": str(imported.run.folder),
        "is_new": imported.is_new,
        "name": options.name,
        "sample": sample,
        "posts": record.posts.num_rows,
        "coded": record.posts.num_rows - read.uncoded.total(),
        "uncoded": dict(read.uncoded),
        "coders": list(read.codings.coders),
        "agreement": [asdict(each) for each in read.agreement],
        "disagreements": [asdict(each) for each in read.resolved.disagreements],
        "undecided": len(read.resolved.undecided),
        "gathered": gathered,
    }
    return code, document


def _coders(named: Sequence[str], paths: Sequence[Path]) -> list[str]:
    if named and len(named) != len(paths):
        raise InputError(
            f"--coder is given {len(named)} times for {counted(len(paths), 'file')}: give it once "
            "for each file, in their order"
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


def _read(paths: Sequence[Path], coders: Sequence[str], record: CodingRecord, rule: str) -> _Import:
    labels = record.description.labels
    names = [label.name for label in labels]
    codings = check_codings(
        [(path, coder, parse_file(path, names)) for path, coder in zip(paths, coders, strict=True)],
        record,
    )
    if not codings.coders:
        raise InputError(f"nothing is coded in {', '.join(map(str, paths))}: all cells are blank")
    decisions = _read_decisions(rule, record, names)
    resolved = resolve(
        codings.codings,
        labels,
        record.posts["uri"].to_pylist(),
        _RULES.get(rule, Rule.DECIDED) if rule else None,
        decisions.codings if decisions else (),
    )
    agreement = measure_coders(codings.codings, labels)
    if resolved.disagreements and not rule:
        lines = _describe_agreement(agreement) + _list_disagreements(resolved)
        raise InputError(
            f"coders disagree about {counted(len(resolved.disagreements), 'value')}, so nothing "
            "was imported. Add --resolve majority, --resolve first, or --resolve FILE with "
            "decisions in the same format:\n  " + "\n  ".join(lines)
        )
    return _Import(record=record, codings=codings, resolved=resolved, agreement=agreement)


def _read_decisions(rule: str, record: CodingRecord, names: Sequence[str]) -> Codings | None:
    if not rule or rule in _RULES:
        return None
    path = Path(rule).expanduser().absolute()
    if not path.is_file():
        raise InputError(f"--resolve {rule}: should be majority, first, or a file of decisions")
    return check_codings([(path, "decisions", parse_file(path, names))], record)


def _trusts_group(place: LabelPlace) -> bool:
    """Tell whether others may write to new runs: as in the newest run under the run root."""
    here = [run for run in place.runs if run.folder.parent == place.run_root]
    return bool(here and here[-1].manifest.trust_group)


def _report(name: str, read: _Import, imported: ImportedRun, printer: Printer) -> None:
    posts, uncoded = read.record.posts.num_rows, read.uncoded
    printer(f"run {imported.run.folder}")
    if not imported.is_new:
        printer("these codings were imported before, so nothing was added")
    rest = "".join(
        f", {number:,} {'not coded' if reason == NOT_CODED else 'undecided'}"
        for reason, number in sorted(uncoded.items())
    )
    printer(
        f"{name}: {posts - uncoded.total():,} of {counted(posts, 'post')} of sample "
        f"{read.record.description.sample} are coded{rest}"
    )
    for label in read.record.description.labels:
        values = Counter(
            str(values[label.name])
            for values in read.resolved.values.values()
            if values[label.name] is not None
        )
        most = ", ".join(f"{value} {number:,}" for value, number in values.most_common(5))
        printer(f"  {label.name}: {values.total():,} coded{f' ({most})' if values else ''}")
    for path in read.codings.without_text:
        printer(f"{path} has no column text, so whether its posts are unchanged is not checked")
    for line in _describe_agreement(read.agreement):
        printer(line)
    if undecided := read.resolved.undecided:
        printer(f"{counted(len(undecided), 'value')} stayed undecided and therefore uncoded:")
    for line in _list_undecided(read.resolved):
        printer(f"  {line}")


def _describe_agreement(agreement: Sequence[CoderAgreement]) -> list[str]:
    lines = []
    for each in agreement:
        alpha = "not defined" if each.alpha is None else f"{each.alpha:.3f}"
        why = f" ({each.why})" if each.why else ""
        lines.append(
            f"{each.label}: Krippendorff's alpha ({each.level}) {alpha}{why}; "
            f"{counted(each.units, 'post')} coded by two or more of {each.coders} coders, "
            f"identical on {each.identical:,}"
        )
    return lines


def _list_disagreements(resolved: Resolved) -> list[str]:
    lines = [
        f"{each.uri} {each.label}: "
        + ", ".join(f"{coder} {value}" for coder, value in each.values.items())
        for each in resolved.disagreements[:_MOST_SHOWN]
    ]
    more = len(resolved.disagreements) - len(lines)
    return [*lines, *([f"and {more:,} more"] if more else [])]


def _list_undecided(resolved: Resolved) -> list[str]:
    undecided = resolved.undecided
    lines = [f"{each.uri} {each.label}" for each in undecided[:_MOST_SHOWN]]
    more = len(undecided) - len(lines)
    return [*lines, *([f"and {more:,} more"] if more else [])]


def _gather(imported: ImportedRun, printer: Printer) -> tuple[int, bool]:
    run = imported.run
    try:
        gathered, _ = gather_run(run, executor_of(run), printer)
    except HeldDatabaseError as error:
        printer(f"{error.where}, so the codings are not in it yet. Close it there, and then type:")
        printer(command("gather", run))
        return FAILED, False
    return (FAILED if gathered.rejected or gathered.unreadable else 0), True


VERB = Verb(
    name="gold",
    example="hpc gold coding.csv --as gold_anna --coder anna",
    arguments=arguments,
    act=act,
    if_interrupted="the same command completes the import, and imports nothing twice",
)

if __name__ == "__main__":
    cli.main(VERB)
