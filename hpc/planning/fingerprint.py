"""One name, one question: labels that would not compare are refused under the same name."""

from dataclasses import dataclass
from datetime import datetime

from hpc.run.model import Run
from pipeline.classifiers import base
from pipeline.database.history import LabelledRun
from pipeline.errors import InputError
from pipeline.model import JsonObject
from pipeline.run_files import manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelSpec:
    """What decides a label: the same question, comparable labels."""

    classifier: JsonObject
    min_text_length: int

    @property
    def hash(self) -> str:
        return manifest.config_hash(self.classifier, self.min_text_length)


def reject_other_fingerprint(
    question: LabelSpec, name: str, named: list[Run], recorded: LabelledRun | None
) -> None:
    """Raises InputError where the name's labels answer another question.

    By the newest run: once labels are superseded, theirs is the name's question.

    Args:
        named: the runs of the name whose folders are there, oldest first.
        recorded: the newest that the database knows of; its folder may be gone.
    """
    last = named[-1] if named else None
    if recorded and (not last or _made_at(last) < recorded.created_at):
        known = next((run for run in named if run.run_id == recorded.run_id), None)
        asked, run_id = recorded.config_hash, recorded.run_id
    elif last:
        known, asked, run_id = last, last.manifest.config_hash, last.run_id
    else:
        return
    if asked == question.hash:
        return
    keys = _differing(known, question) if known else []
    delete = f"; or delete {known.folder}, if nothing in it is worth keeping" if known else ""
    raise InputError(
        f"the labels under the name {name} were made with another configuration "
        f"(run {run_id} differs in {', '.join(keys) or 'its making'}): give it a new name, or "
        "submit --supersede, which labels those posts again and keeps the old rows in table "
        f"superseded_{name}{delete}"
    )


def _made_at(run: Run) -> datetime:
    return datetime.fromisoformat(run.manifest.created_at)


def _differing(run: Run, question: LabelSpec) -> list[str]:
    before = {**base.what_decides(run.manifest.classifier)}
    before["min_text_length"] = run.manifest.min_text_length
    now = {**question.classifier, "min_text_length": question.min_text_length}
    return sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
