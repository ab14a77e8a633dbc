"""Declare the section `notify`: the command that is run for events of the run."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from pipeline.config.keys import Duration, Section, Text, expects, key


class Event(StrEnum):
    """What may have happened to a run that a person wants to hear of."""

    DONE = "done"
    NEEDS_PERSON = "needs_person"
    THROTTLED = "throttled"


class NotifySettings(Section, frozen=True, kw_only=True):
    """A command that gets one JSON document on stdin for each event of the run.

    `supervise` runs it, also from cron and as caretaker. Nobody is notified about a run that no
    process supervises.
    """

    command: Annotated[
        Text | Annotated[tuple[Text, ...], Meta(min_length=1)] | None,
        key(
            "The command: a list of a program and its arguments, or one line for `sh`. It runs in "
            "the folder that holds the run root, without the API key in its environment.",
            default="none: nobody is notified",
            omit_default=True,
        ),
        expects("text, or a list of 1 or more texts"),
    ] = None
    events: Annotated[
        tuple[Event, ...],
        key(
            "What to report: `done`: every post has its row, and the labels are gathered; "
            "`needs_person`: the run waits for you to act; `throttled`: the service or the "
            "quota lets nothing through.",
            omit_default=True,
        ),
    ] = tuple(Event)
    after_minutes: Annotated[
        Duration,
        key(
            "Report `throttled` once no post was answered for this long.",
            unit="minutes",
            omit_default=True,
        ),
    ] = 30.0
