"""Check the section `classifier` of a configuration."""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from pipeline.classifiers.frozen_classifier import (
    SECTION,
    TYPE,
    FrozenClassifier,
    find_unusable_column,
)
from pipeline.classifiers.options import Options
from pipeline.classifiers.registry import is_installed, list_installed, load
from pipeline.config.check import Problems, check, shown
from pipeline.config.input_files import InputFiles
from pipeline.model import JsonObject
from pipeline.text import did_you_mean


class ConfiguredClassifier(msgspec.Struct, frozen=True, kw_only=True):
    """The section `classifier` of a configuration, checked key by key.

    Attributes:
        kind: its key `type`.
        options: its other keys.
        source: the configuration's file.
        folders: where to look for the files that it names, in turn.
    """

    kind: str
    options: Options
    source: str
    folders: tuple[Path, ...]

    def freeze(self, problems: Problems) -> FrozenClassifier:
        """Return the classifier as the manifest keeps it, with files inlined.

        Args:
            problems: gets what is wrong; no run may have the value then.
        """
        inputs = InputFiles(
            source=self.source, path=SECTION, folders=self.folders, problems=problems
        )
        frozen = FrozenClassifier(self.kind, load(self.kind).freeze(self.options, inputs))
        if problem := find_unusable_column(frozen.columns):
            problems.add(self.source, f"{SECTION}.{TYPE}", f"{self.kind}: {problem}")
        return frozen

    def checkable(self, frozen: FrozenClassifier, problems: Problems) -> JsonObject:
        """Return frozen options for checks that never ask the classifier, and for nothing else.

        A key with a problem, such as a prompt whose file is not there, has the value that the
        configuration gave it.

        Args:
            frozen: the options.
            problems: what `freeze` found.
        """
        given = FrozenClassifier(self.kind, self.options).to_json()
        wrong = {
            re.split(r"[.\[]", problem.path.removeprefix(f"{SECTION}."))[0]
            for problem in problems.found
            if not problem.is_lack
        }
        return frozen.to_json() | {name: given[name] for name in wrong & given.keys()}


def check_classifier(
    values: object, *, source: str, folders: tuple[Path, ...], problems: Problems
) -> ConfiguredClassifier | None:
    """Return the section `classifier`; None if something is wrong with it.

    Args:
        values: the section as the YAML has it; the caller reports one that is not a mapping.
        source: the configuration's file.
        folders: where the files that it names are tried, in turn.
        problems: gets what is wrong.
    """
    if not isinstance(values, Mapping):
        return None
    kind = values.get(TYPE)
    if kind is None:
        problems.add(
            source, f"{SECTION}.{TYPE}", f"is missing: it is one of {', '.join(list_installed())}"
        )
        return None
    if not isinstance(kind, str) or not is_installed(kind):
        known = list_installed()
        words = f"should be one of {', '.join(known)}, not {shown(kind)}"
        problems.add(source, f"{SECTION}.{TYPE}", words + did_you_mean(str(kind), known))
        return None
    options = check(
        load(kind).options_type,
        {name: value for name, value in values.items() if name != TYPE},
        source=source,
        path=SECTION,
        problems=problems,
    )
    if options is None:
        return None
    return ConfiguredClassifier(kind=kind, options=options, source=source, folders=folders)
