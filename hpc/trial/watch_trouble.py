"""Show what a service complains of while a classifier waits for it."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hpc.run.model.run import Say
from pipeline.classifiers.base import Classifier
from pipeline.classifiers.options import Options
from pipeline.terminal import one_line

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
    ended = threading.Event()

    def look() -> None:
        shown = ""
        while not ended.wait(PAUSE_S):
            trouble = one_line(classifier.secret.redact(classifier.trouble), _LONGEST)
            without_numbers = re.sub(r"\d+", "#", trouble)
            if trouble and without_numbers != shown:
                say(f"{title}: {trouble}")
                shown = without_numbers

    thread = threading.Thread(target=look, name="trouble", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
