"""Load the classifiers that are installed.

The program's own are those of `shipped`. Another package adds one through the entry point group
`pipeline.classifiers`:

[project.entry-points."pipeline.classifiers"]
mine = "mypackage.module:MyClassifier"
"""

import importlib
from functools import reduce
from typing import cast

from pipeline.classifiers.base import Classifier
from pipeline.classifiers.options import Options
from pipeline.classifiers.other_packages import places_of_others
from pipeline.classifiers.shipped import RECORDED, SHIPPED
from pipeline.errors import InputError


def load(kind: str) -> type[Classifier[Options]]:
    """Import one classifier and none of the others, because a task should start quickly.

    Raises:
        InputError: there is no such classifier, or it cannot be imported.
    """
    place = SHIPPED.get(kind) or RECORDED.get(kind) or places_of_others().get(kind)
    if place is None:
        raise InputError(
            f"classifier.type: there is no {kind!r}; installed: {', '.join(installed())}"
        )
    module, _, name = place.partition(":")
    try:
        found: object = reduce(getattr, name.split("."), importlib.import_module(module))
        return cast(type[Classifier[Options]], found)
    except ImportError as error:
        raise InputError(f"classifier.type: {kind!r} cannot be imported: {error}") from None


def installed() -> list[str]:
    """Return the names of all classifiers, ours and those of other packages, sorted."""
    return sorted({*SHIPPED, *places_of_others()})


def is_installed(kind: str) -> bool:
    """Tell whether a configuration can choose this classifier."""
    return kind in SHIPPED or kind in installed()
