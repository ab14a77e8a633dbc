"""Show what a service complains of while a classifier waits for it."""

from collections.abc import Iterator
from contextlib import contextmanager

from hpc.run.model.run import Say
from pipeline.classifiers.base import Classifier
from pipeline.classifiers.options import Options
from pipeline.terminal import one_line
from pipeline.text import without_numbers
from pipeline.threads.repeat import repeat_in_background

PAUSE_S = 1.0
"""Between two looks."""
_LONGEST = 500


@contextmanager
def show_trouble(classifier: Classifier[Options], title: str, say: Say) -> Iterator[None]:
    """Show within a block what is wrong with a classifier's service, whenever that changes.

    Another thread looks, because a classifier that waits gives no sign. What differs only by
    numbers, such as how long it has lasted, is shown once.

    Args:
        classifier: what asks the service.
        title: what reports call its configuration.
        say: receives each message, in the other thread.
    """
    shown = ""

    def look() -> None:
        nonlocal shown
        trouble = one_line(classifier.secret.redact(classifier.trouble), _LONGEST)
        if trouble and without_numbers(trouble) != shown:
            say(f"{title}: {trouble}")
            shown = without_numbers(trouble)

    with repeat_in_background(look, PAUSE_S, name="trouble"):
        yield
