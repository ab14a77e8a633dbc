"""Tell whether a key of a submitted run's configuration may be corrected, and if not, why.

A key may be corrected if it changes no label, as its declaration says, and decides neither which
posts the run has nor where the run is.
"""

from hpc.config.run_config import ConfigurationFile
from pipeline.classifiers import frozen_classifier
from pipeline.classifiers.options import Options
from pipeline.config.keys import keys_of, section_in
from pipeline.text import did_you_mean

CHANGES_LABELS = (
    "changes labels, so this run keeps it; to use another value, submit a new run (under a new "
    "name, or superseding the labels of this one)"
)
_STAYS = "this run stays where it is; the next hpc submit uses it"
_FROZEN = {
    "name": "this run's labels belong to its name; to use another one, submit a new run",
    "backlog": "this run's posts are chosen already; the next hpc submit uses it",
    "sharding": "this run's posts are in shards already; the next hpc submit uses it",
    "storage.run_root": _STAYS,
    "storage.database": _STAYS,
    "cluster.cluster_name": "a run keeps its cluster; to use another one, submit a new run",
    "cluster.executor": "a run keeps its executor; to use another one, submit a new run",
    "cluster.template": "set its keys one by one, or correct the run by an edited configuration",
}


def objection_to(path: str, options: type[Options]) -> str:
    """Return why a key must not be corrected; '' if it may be, or if the checks report it."""
    section, _, rest = path.partition(".")
    known = keys_of(ConfigurationFile)
    if section not in known:
        return f"unknown key{did_you_mean(section, list(known))}"
    if _changes_labels(section, rest, options):
        return CHANGES_LABELS
    for frozen, why in _FROZEN.items():
        if path == frozen or path.startswith(f"{frozen}."):
            return why
    return "" if rest else f"holds several keys; name one of them: {section}.KEY=VALUE"


def _changes_labels(section: str, rest: str, options: type[Options]) -> bool:
    """Tell whether a key, or one that it lies in, is declared as one that changes labels."""
    if section == frozen_classifier.SECTION and rest.partition(".")[0] == frozen_classifier.TYPE:
        return True
    kind = options if section == frozen_classifier.SECTION else _section_type(section)
    for name in filter(None, rest.split(".")):
        key = keys_of(kind).get(name) if kind else None
        if key is None:
            return False
        if key.facts.changes_labels:
            return True
        kind = section_in(key.annotation)
    return False


def _section_type(section: str) -> type | None:
    return section_in(keys_of(ConfigurationFile)[section].annotation)
