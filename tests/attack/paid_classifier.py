"""A classifier that writes down every answer that somebody has to pay for."""

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.classifiers.base import Classifier, TaskShare
from pipeline.classifiers.options import Options
from pipeline.model import Answer, Column, Post

NAME = "paid"
LOG = "paid.log"
STOP_AT = "stop-at"
STOPPED = "stopped"
FOREVER_S = 3600.0


class Paid(Classifier[Options]):
    """Labels with the text's length, in a folder that is the working folder of its task.

    It hangs before the post whose uri is in the file STOP_AT, and says so by the file STOPPED.
    """

    options_type = Options
    needs_numpy = False
    columns = (Column("length", "integer"),)
    model = "paid 1"

    def __init__(self, options: Options, share: TaskShare) -> None:
        self._log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def classify(self, posts: Sequence[Post]) -> Iterator[Answer]:
        for post in posts:
            stop_at = Path(STOP_AT)
            if stop_at.exists() and stop_at.read_text() == post.uri:
                Path(STOPPED).touch()
                time.sleep(FOREVER_S)
            os.write(self._log, f"{post.uri}\n".encode())
            yield Answer(post.uri, {"length": len(post.text)})


def paid(folder: Path) -> Counter[str]:
    """Return how often each uri was paid for."""
    log = folder / LOG
    return Counter(log.read_text().split() if log.exists() else [])
