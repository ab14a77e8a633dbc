"""Choose what a page is about: all labels of a name, or those of one run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hpc.labels.label_place import LabelPlace, find_place
from hpc.run.model.run import Run
from hpc.runs import find_runs
from pipeline.errors import InputError
from pipeline.text import did_you_mean


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """What a part of the page is about."""

    name: str
    place: LabelPlace
    """Where its labels are."""
    run: Run | None = None
    """The run that it is about; None for all runs of the name."""

    @property
    def title(self) -> str:
        """Return what the part is called."""
        return f"{self.name}, run {self.run.run_id}" if self.run else self.name


def choose_subjects(
    words: Sequence[str], place: LabelPlace, config: Path | None, database: Path | None
) -> list[Chosen]:
    """Return what the words of a command mean, each once.

    Args:
        words: names of labels, or runs. Without any, the configuration's name, or that of the
            newest run.
        place: where labels are.
        config: the configuration that a person named.
        database: the database that a person named.

    Raises:
        InputError: a word means neither a name nor a run, or nobody can tell which name is meant.
    """
    if not words:
        name = None if config else _newest_name(place)
        return [Chosen(name=place.choose_name(name, config, "report"), place=place)]
    chosen: dict[str, Chosen] = {}
    for word in words:
        subject = _choose(word, place, database)
        chosen.setdefault(subject.title, subject)
    return list(chosen.values())


def _newest_name(place: LabelPlace) -> str | None:
    """Return the name of the newest run of a classifier, as other commands choose a run."""
    newest_first = (run.manifest for run in reversed(place.runs))
    return next((each.name for each in newest_first if not each.is_coded_by_people), None)


def _choose(word: str, place: LabelPlace, database: Path | None) -> Chosen:
    if word in place.names:
        return Chosen(name=word, place=place)
    if word in place.mapped:
        raise InputError(
            f"{word} are mapped labels, which no run assigned: hpc report {place.mapped[word]}"
        )
    try:
        run = find_runs.find(place.run_root, word)
    except InputError:
        raise InputError(
            f"there is neither a name {word!r}{did_you_mean(word, place.names)} nor such a run "
            f"under {place.run_root}; {place.database} has labels of: "
            f"{', '.join(place.names) or 'no name'}"
        ) from None
    own = find_place(None, run.folder.parent, database or Path(run.manifest.database))
    if all(run.run_id != each.run_id for each in own.runs):
        own = replace(own, runs=(*own.runs, run))
    return Chosen(name=run.manifest.name, place=own, run=run)
