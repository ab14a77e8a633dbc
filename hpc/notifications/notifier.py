"""Notify a person of a run's events. Nothing that goes wrong here stops a run."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from hpc.notifications import record
from hpc.notifications.command import environment_without, key_of, key_places, run_command
from hpc.notifications.document import Sender, document
from hpc.notifications.notice import (
    Notice,
    ending_notice,
    error_notice,
    throttled_notice,
    throttling_now,
)
from hpc.run.model.run import Run, Say
from hpc.run.run_state import RunStatus
from hpc.run.submissions import read_submissions
from pipeline.config.notify_settings import Event
from pipeline.errors import BusyError, InputError, RunError, UnreadableError
from pipeline.system.ownership import user_name
from pipeline.terminal import one_line
from pipeline.text import counted

# What may go wrong with the files of a run, and with running a command.
_FAILURES = (OSError, InputError, RunError, UnreadableError)
_LONGEST_PROBLEM = 300


class Notifier:
    """Reports the events of one run, as its configuration asks for."""

    def __init__(self, run: Run, say: Say, check_trust: Callable[[Run], None]) -> None:
        """Report nothing yet.

        Args:
            run: the run.
            say: shows a message.
            check_trust: raises InputError if somebody else may have written the command.
        """
        self._run = run
        self._say = say
        self._check_trust = check_trust
        self._last_status: RunStatus | None = None

    def look(self, status: RunStatus) -> None:
        """Report that the run is throttled, if it has been for long enough."""
        self._last_status = status
        if not self._wants(Event.THROTTLED):
            return
        try:
            before = record.read_throttling(self._run.folder)
            throttling = throttling_now(status, before)
            if throttling != before:
                record.write_throttling(self._run.folder, throttling)
        except _FAILURES as error:
            self._warn(Event.THROTTLED, one_line(str(error)))
            return
        after = timedelta(minutes=self._run.notify.after_minutes)
        notice = throttled_notice(status, throttling, after=after) if throttling else None
        if notice:
            self._send(notice, status)

    def end(self, status: RunStatus) -> None:
        """Report how the run is as this process leaves it, if nothing goes on without a person."""
        notice = ending_notice(status)
        if notice:
            self._send(notice, status)

    @contextlib.contextmanager
    def reporting_errors(self) -> Iterator[None]:
        """Report an error that ends the block, and raise it. One that says "later" is no event."""
        try:
            yield
        except BusyError:
            raise
        except _FAILURES as error:
            self._fail(error)
            raise

    def _fail(self, error: Exception) -> None:
        if not self._wants(Event.NEEDS_PERSON):
            return
        status = self._last_status
        try:
            recorded = status.observation.submissions if status else read_submissions(self._run)
        except _FAILURES:
            recorded = ()
        number = max((submission.number for submission in recorded), default=0)
        self._send(error_notice(self._run, number, error, str(error)), status)

    def _wants(self, event: Event) -> bool:
        settings = self._run.notify
        return settings.command is not None and event in settings.events

    def _send(self, notice: Notice, status: RunStatus | None) -> None:
        if not self._wants(notice.event):
            return
        now, host = datetime.now(UTC), socket.gethostname()
        sender = Sender(host=host, user=user_name(os.getuid()), time=now)
        values = document(notice, self._run, status, sender)
        begun = record.first_try(notice.key, host, now.replace(microsecond=0))
        try:
            self._check_trust(self._run)
            outcome = record.send_once(self._run.folder, begun, lambda: send(self._run, values))
        except BusyError:
            return  # whoever sends has seen the same
        except _FAILURES as error:
            self._warn(notice.event, one_line(str(error)))
            return
        if outcome is None:
            return
        problem, tries_left = outcome
        if problem:
            again = (
                f"It will be sent again, at most {counted(tries_left, 'more time')}"
                if tries_left
                else "It will not be sent again"
            )
            self._warn(notice.event, f"{problem}. {again}")
        else:
            self._say(f"notified: {notice.event}")

    def _warn(self, event: Event, problem: str) -> None:
        self._say(f"the notification of {event} was not sent (notify.command): {problem}")


def send(run: Run, values: dict[str, object]) -> str:
    """Run a run's command with a document; return why it failed, or '' if it did not."""
    command = run.notify.command
    assert command is not None
    classifier = run.manifest.classifier
    key = key_of(classifier)
    problem = run_command(
        command,
        {name: key.redact(value) if isinstance(value, str) else value
         for name, value in values.items()},
        folder=run.folder.absolute().parent.parent,
        environment=environment_without(key, key_places(classifier)[0], os.environ),
    )  # fmt: skip
    return one_line(key.redact(problem), _LONGEST_PROBLEM)
