"""Bind a name to one labeling setup: labels of another setup are rejected under the same name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from hpc.run.model.run import Run
from pipeline.classifiers import frozen_classifier
from pipeline.database.history import LabeledRun
from pipeline.errors import InputError
from pipeline.model import JsonObject
from pipeline.run_files import manifest


class OtherSetupError(InputError):
    """The labels of a name were made with another labeling setup."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelSpec:
    """The part of a configuration that decides a post's label."""

    classifier: JsonObject
    """The classifier's options, except those that change no label."""
    min_text_length: int

    @property
    def hash(self) -> str:
        """16 hex digits: equal hashes mean comparable labels."""
        return manifest.config_hash(self.classifier, self.min_text_length)

    @classmethod
    def of_run(cls, run: Run) -> "LabelSpec":
        """Return what decided the labels of an existing run."""
        return cls(
            classifier=frozen_classifier.what_decides(run.manifest.classifier),
            min_text_length=run.manifest.min_text_length,
        )

    def differing_keys(self, other: "LabelSpec") -> list[str]:
        """Return the names of the keys that differ, sorted."""
        mine = {**self.classifier, "min_text_length": self.min_text_length}
        theirs = {**other.classifier, "min_text_length": other.min_text_length}
        return differing_keys(mine, theirs)


def differing_keys(mine: Mapping[str, object], theirs: Mapping[str, object]) -> list[str]:
    """Return the names of the keys whose values differ as JSON, sorted.

    Python takes 1, 1.0 and true for equal, and a service may not.
    """
    return sorted(
        key
        for key in mine.keys() | theirs.keys()
        if json.dumps(mine.get(key), sort_keys=True) != json.dumps(theirs.get(key), sort_keys=True)
    )


def reject_other_fingerprint(
    label_spec: LabelSpec, name: str, runs: list[Run], newest: LabeledRun | None
) -> None:
    """Reject a configuration if the name's labels were made with another one.

    The newest run decides: once labels are superseded, its setup is the name's. Ids give the order
    of runs, because a clock may have been set back between two of them.

    Args:
        label_spec: what decides the labels of the new run.
        name: the name of the labels.
        runs: the name's runs whose folders exist, oldest first.
        newest: the newest run with labels that the database knows; its folder may be gone.

    Raises:
        OtherSetupError: the labels would not be comparable.
    """
    binding = _find_binding(runs, newest)
    if binding is None or binding.config_hash == label_spec.hash:
        return
    run = next((run for run in runs if run.run_id == binding.run_id), None)
    keys = LabelSpec.of_run(run).differing_keys(label_spec) if run else []
    delete = ""
    if run and _is_free_without(run, label_spec, runs, newest):
        delete = f"; or delete {run.folder} if nothing in it is worth keeping"
    raise OtherSetupError(
        f"the labels under the name {name} were made with another configuration (run "
        f"{binding.run_id} differs in {', '.join(keys) or 'its code or options'}): give this one a "
        "new name; or run submit --supersede, which labels those posts again and keeps the old "
        f"rows in table superseded_{name}{delete}"
    )


def _find_binding(runs: list[Run], newest: LabeledRun | None) -> LabeledRun | None:
    """Return the run whose labeling setup is the name's; None if there is none."""
    last = runs[-1] if runs else None
    if last and not (newest and last.run_id < newest.run_id):
        return LabeledRun(last.run_id, last.manifest.config_hash)
    return newest


def _is_free_without(
    run: Run, label_spec: LabelSpec, runs: list[Run], newest: LabeledRun | None
) -> bool:
    """Tell whether a submit would accept the labeling setup once a run's folder is deleted.

    The database keeps the rows and the setup of a run whose folder is gone.
    """
    binding = _find_binding([each for each in runs if each.run_id != run.run_id], newest)
    return binding is None or binding.config_hash == label_spec.hash
