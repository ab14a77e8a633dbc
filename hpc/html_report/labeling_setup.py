"""Choose what of a run's configuration a page may say.

A reader of the page may be anybody. So it has the options that change labels, because a study has
to report them, and nothing else: no key, no variable that holds one, and no path of this machine.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping

from hpc.html_report.facts import LabelingSetup, LongText
from hpc.run.model.run import Run
from pipeline.classifiers import frozen_classifier, registry
from pipeline.config.keys import keys_of
from pipeline.errors import InputError
from pipeline.model import JsonObject
from pipeline.text import counted

_URL_PATHS = frozenset({"base_url", "path"})
_PROMPT = "prompt"
# A longer text, or one of several lines, is shown on a click.
_LONGEST_VALUE = 120
# An absolute path or one in a home, but not what follows the host in an address.
_PATH = re.compile(r"(?<![\w:/.])(?:~[\w.-]*)?/(?:[^\s/'\",;]+/)+(?P<last>[^\s/'\",;]+)")


def setups_of(runs: Iterable[Run]) -> tuple[LabelingSetup, ...]:
    """Return the different labeling setups of runs, in the order of their first run."""
    by_hash = {run.manifest.config_hash: run for run in reversed(list(runs))}
    return tuple(map(_setup_of, reversed(by_hash.values())))


def _setup_of(run: Run) -> LabelingSetup:
    classifier = run.manifest.classifier
    options: dict[str, str] = {"min_text_length": str(run.manifest.min_text_length)}
    texts: dict[str, LongText] = {}
    for name, value in _public_options(classifier):
        shown = _as_text(value)
        if name != _PROMPT and len(shown) <= _LONGEST_VALUE and "\n" not in shown:
            options[name] = shown if name in _URL_PATHS else without_paths(shown)
            continue
        if not isinstance(value, str):
            shown = without_paths(json.dumps(value, ensure_ascii=False, indent=2))
        # The digest is of the text as the run has it, so that anybody can compare it.
        texts[name] = LongText(shown, hashlib.sha256(shown.encode()).hexdigest())
    return LabelingSetup(
        kind=str(classifier.get(frozen_classifier.TYPE, "")),
        config_hash=run.manifest.config_hash,
        options=options,
        texts=texts,
    )


def _as_text(value: object) -> str:
    """Return a value as a person would write it: a list of words without marks around them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False)


def _public_options(classifier: JsonObject) -> Iterator[tuple[str, object]]:
    """Yield the options that change labels; none if the classifier is not installed."""
    try:
        keys = keys_of(registry.load(str(classifier.get(frozen_classifier.TYPE, ""))).options_type)
    except InputError:
        return
    for name, value in classifier.items():
        facts = keys[name].facts if name in keys else None
        if facts and facts.changes_labels and not facts.secret and value not in (None, {}, []):
            # Who coded is nobody else's business.
            is_people = name == "coders" and isinstance(value, list | tuple)
            yield name, counted(len(value), "person", "people") if is_people else value


def without_paths(text: str) -> str:
    """Return a text in which only the last part of each path of a machine is left."""
    return _PATH.sub(r"…/\g<last>", text)


def free_texts_of(runs: Iterable[Run]) -> frozenset[str]:
    """Return the label columns that a configuration declares as free text."""
    return frozenset(
        str(label.get("name"))
        for run in runs
        for label in _labels(run.manifest.classifier)
        if label.get("type") == "text"
    )


def _labels(classifier: Mapping[str, object]) -> list[Mapping[str, object]]:
    labels = classifier.get("labels")
    if not isinstance(labels, list | tuple):
        return []
    return [label for label in labels if isinstance(label, Mapping)]
