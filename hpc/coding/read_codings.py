"""Read what coders typed, and check every row against the texts that they were given."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hpc.coding import coding_record
from hpc.coding.codebook import CODER, Coding, InvalidValue
from hpc.coding.coding_record import CodingRecord
from hpc.coding.label_studio import read_export
from hpc.coding.spreadsheet import ParsedRow, is_same_text, read_csv, unguard_cell
from pipeline.config.check import shown
from pipeline.errors import InputError
from pipeline.messages.options import CODER_NAMES, CONFIG, RUN_ROOT, SAMPLE
from pipeline.terminal import one_line
from pipeline.text import counted

_MOST_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Codings:
    """What all coders said."""

    codings: tuple[Coding, ...]
    """One for each row of the files, in their order; those that are all blank included."""
    coders: tuple[str, ...]
    """Who coded something, in the order of the files."""
    without_text: tuple[Path, ...]
    """The files without the posts' texts, which could not be compared."""


@dataclass(slots=True)
class _Problems:
    lines: list[str] = field(default_factory=list)

    def add(self, row: ParsedRow, problem: str) -> None:
        self.lines.append(f"{row.file}, {row.place}: {one_line(problem)}")

    def raise_any(self) -> None:
        """Raise one InputError with the first problems and the number of all."""
        if not self.lines:
            return
        shown_first = self.lines[:_MOST_SHOWN]
        more = len(self.lines) - len(shown_first)
        rest = [f"and {counted(more, 'more problem')}"] if more else []
        raise InputError(
            f"{counted(len(self.lines), 'problem')} in the codings, so nothing was imported:\n  "
            + "\n  ".join([*shown_first, *rest])
        )


def parse_file(path: Path, labels: Sequence[str]) -> list[ParsedRow]:
    """Return the rows of a coding file: Label Studio's if its name ends in .json, else CSV.

    Raises:
        InputError: it is no coding file.
        OSError: it cannot be read.
    """
    if path.name.lower().endswith(".json"):
        return read_export(path, labels)
    return read_csv(path, labels, CODER)


def check_codings(
    files: Sequence[tuple[Path, str, Sequence[ParsedRow]]], record: CodingRecord
) -> Codings:
    """Return what the rows say, after checking all of them.

    Args:
        files: each file, who coded it ('' if nobody said it), and its rows.
        record: what coders were given.

    Raises:
        InputError: names the file and row of everything that is wrong.
    """
    texts = dict(
        zip(record.posts["uri"].to_pylist(), record.posts["text"].to_pylist(), strict=True)
    )
    problems = _Problems()
    codings: list[Coding] = []
    seen: dict[tuple[str, str], ParsedRow] = {}
    without_text = []
    for path, named, rows in files:
        _check_coder(path, named, rows)
        if rows and all(row.text is None for row in rows):
            without_text.append(path)
        for typed in rows:
            row = replace(typed, uri=unguard_cell(typed.uri, texts))
            coder = one_line(named or row.coder or path.stem)
            if problem := _find_problem(row, coder, texts, record, seen):
                problems.add(row, problem)
                continue
            seen[coder, row.uri] = row
            values = {}
            for name, label in record.columns.items():
                try:
                    values[name] = label.read(row.typed[name])
                except InvalidValue as error:
                    problems.add(row, f"{name}: {shown(row.typed[name])}: {error}")
            codings.append(Coding(uri=row.uri, coder=coder, values=values))
    problems.raise_any()
    coders = dict.fromkeys(coding.coder for coding in codings if not coding.is_blank)
    return Codings(codings=tuple(codings), coders=tuple(coders), without_text=tuple(without_text))


def _check_coder(path: Path, named: str, rows: Sequence[ParsedRow]) -> None:
    coders = sorted({row.coder for row in rows if row.coder})
    if named and len(coders) > 1:
        raise InputError(
            f"{CODER_NAMES.set_to(named)}: {path} has codings of {', '.join(coders)}; leave "
            f"{CODER_NAMES} out"
        )


def _find_problem(
    row: ParsedRow,
    coder: str,
    texts: dict[str, str],
    record: CodingRecord,
    seen: dict[tuple[str, str], ParsedRow],
) -> str:
    """Return why a row cannot be a coding; '' if it can."""
    if not row.uri:
        return "it has no uri"
    if row.uri not in texts:
        return f"{row.uri} is not in the sample {record.description.sample}"
    if row.text is not None and not is_same_text(row.text, texts[row.uri]):
        return (
            f"its text is not the one of {row.uri}, so what was coded is uncertain: restore the "
            "text, or delete the whole column text if only a spreadsheet changed it"
        )
    if other := seen.get((coder, row.uri)):
        where = other.place if other.file == row.file else f"{other.file}, {other.place}"
        return f"{coder} coded {row.uri} twice, also in {where}; name coders with {CODER_NAMES}"
    return ""


def find_sample(run_root: Path, paths: Sequence[Path]) -> str:
    """Return the one sample for coders that has all posts of some files.

    Raises:
        InputError: there is none, or several have them.
        UnreadableError: a sample cannot be read now.
    """
    uris = {row.uri for path in paths for row in parse_file(path, ()) if row.uri}
    samples = coding_record.list_samples(run_root)
    if not samples:
        raise InputError(
            f"there is no sample for coders under {run_root}: draw one with hpc sample, or name "
            f"the run root with {CONFIG} or {RUN_ROOT}"
        )
    shared: dict[str, int] = {}
    for sample in samples:
        posts = set(coding_record.read(run_root, sample).posts["uri"].to_pylist())
        shared[sample] = sum(unguard_cell(uri, posts) in posts for uri in uris)
    complete = [sample for sample in samples if shared[sample] == len(uris)]
    if len(complete) == 1 and uris:
        return complete[0]
    if len(complete) > 1:
        raise InputError(
            f"several samples have these posts, so name one with {SAMPLE}: {', '.join(complete)}"
        )
    best = max(samples, key=lambda sample: shared[sample])
    if not shared[best]:
        raise InputError(
            f"no sample under {run_root} has any of the {counted(len(uris), 'post')} of "
            f"{', '.join(map(str, paths))}; there are: {', '.join(samples)}"
        )
    return best  # the rows that it does not have are named one by one
