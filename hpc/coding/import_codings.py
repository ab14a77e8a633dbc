"""Read what people coded, check it against its sample, and settle disagreements."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc.coding.coding_record import CodingRecord
from hpc.coding.describe_import import describe_agreement, list_disagreements
from hpc.coding.read_codings import Codings, check_codings, parse_file
from hpc.coding.resolve import Resolved, Rule, measure_coders, resolve
from pipeline.analysis.coder_agreement import CoderAgreement
from pipeline.errors import InputError
from pipeline.messages.options import RESOLVE
from pipeline.text import counted

_RULES = {"majority": Rule.MAJORITY, "first": Rule.FIRST}


@dataclass(frozen=True, kw_only=True, slots=True)
class CodedSample:
    """What was read, checked and resolved."""

    record: CodingRecord
    codings: Codings
    resolved: Resolved
    agreement: tuple[CoderAgreement, ...]

    @property
    def uncoded(self) -> Counter[str]:
        """Return how many posts have no value at all, by reason."""
        return Counter(self.resolved.reasons.values())


def read_import(
    paths: Sequence[Path], coders: Sequence[str], record: CodingRecord, rule: str
) -> CodedSample:
    """Read files of codings, check them against their sample, and resolve disagreements.

    Args:
        paths: the files.
        coders: who coded each file; an empty text where the file itself says it.
        record: what was to be coded.
        rule: `majority`, `first`, or the path of a file with decisions; empty to reject
            disagreements.

    Raises:
        InputError: a file is wrong, nothing is coded, or coders disagree.
    """
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
        lines = describe_agreement(agreement) + list_disagreements(resolved.disagreements)
        raise InputError(
            f"coders disagree about {counted(len(resolved.disagreements), 'value')}, so nothing "
            f"was imported. Add {RESOLVE.set_to('majority')}, {RESOLVE.set_to('first')}, or "
            f"{RESOLVE.usage('FILE')} with decisions in the same format:\n  " + "\n  ".join(lines)
        )
    return CodedSample(record=record, codings=codings, resolved=resolved, agreement=agreement)


def _read_decisions(rule: str, record: CodingRecord, names: Sequence[str]) -> Codings | None:
    if not rule or rule in _RULES:
        return None
    path = Path(rule).expanduser().absolute()
    if not path.is_file():
        raise InputError(
            f"{RESOLVE.set_to(rule)}: should be majority, first, or a file of decisions"
        )
    return check_codings([(path, "decisions", parse_file(path, names))], record)
