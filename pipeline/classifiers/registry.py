"""Load the classifiers that are installed.

The program's own are listed here, so that a newer version of the code has them at once. Another
package adds one through the entry point group `pipeline.classifiers`:

[project.entry-points."pipeline.classifiers"]
mine = "mypackage.module:MyClassifier"
"""

import importlib
from collections.abc import Iterable
from functools import reduce
from typing import cast

from pipeline.arrow.skip_pandas import skip_pandas
from pipeline.classifiers.base import Classifier
from pipeline.classifiers.options import Options
from pipeline.classifiers.other_packages import places_of_others
from pipeline.errors import InputError

_SHIPPED = {
    "external": "pipeline.classifiers.external:ExternalLabels",
    "guard": "pipeline.classifiers.guard.classifier:Guard",
    "llm": "pipeline.classifiers.llm.classifier:Llm",
    "moderation": "pipeline.classifiers.moderation.classifier:Moderation",
    "perspective": "pipeline.classifiers.perspective.classifier:Perspective",
    "transformers": "pipeline.classifiers.transformers.classifier:TransformersClassifier",
    "valence": "pipeline.classifiers.valence:Valence",
}

# Labels that people gave. No configuration can choose it, because no task can ask people.
_RECORDED = {"human": "pipeline.classifiers.human:HumanLabels"}


def load(kind: str) -> type[Classifier[Options]]:
    """Import one classifier and none of the others, because a task should start quickly.

    Raises:
        InputError: there is no such classifier, or it cannot be imported.
    """
    place = _SHIPPED.get(kind) or _RECORDED.get(kind) or places_of_others().get(kind)
    if place is None:
        raise InputError(
            f"classifier.type: there is no {kind!r}; installed: {', '.join(list_installed())}"
        )
    module, _, name = place.partition(":")
    try:
        found: object = reduce(getattr, name.split("."), importlib.import_module(module))
        return cast(type[Classifier[Options]], found)
    except ImportError as error:
        raise InputError(f"classifier.type: {kind!r} cannot be imported: {error}") from None


def list_installed() -> list[str]:
    """Return the names of all classifiers, ours and those of other packages, sorted."""
    return sorted({*_SHIPPED, *places_of_others()})


def skip_unused_pandas(kinds: Iterable[str]) -> None:
    """Spare this process the import of pandas, unless one of these classifiers may use it.

    No shipped one gives an object of pandas to PyArrow. One of another package may, even if it
    imports pandas only as it labels.
    """
    if all(kind in _SHIPPED for kind in kinds):
        skip_pandas()


def is_installed(kind: str) -> bool:
    """Tell whether a configuration can choose this classifier."""
    return kind in _SHIPPED or kind in list_installed()
