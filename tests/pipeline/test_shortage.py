"""What a process lacks is found among an error's causes, and by trying."""

import errno
import os

import pytest

from pipeline.errors import Cause, TaskError
from pipeline.run_files.last_words import blames_post
from pipeline.system.shortage import find_shortage
from tests.pipeline.exhaustion import exhausted_descriptors

LACKS = [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EIO, errno.ENOSPC,
         errno.EDQUOT, errno.ESTALE]  # fmt: skip


def wrapped(error: Exception, *, explicit: bool) -> Exception:
    """The error as the cause, or as the context, of two others."""
    try:
        try:
            raise error
        except OSError as inner:
            raise ConnectionError("no connection") from (inner if explicit else None)
    except ConnectionError as outer:
        if not explicit:
            outer.__suppress_context__ = False
        try:
            raise ValueError("no answer") from outer
        except ValueError as outermost:
            return outermost


@pytest.mark.parametrize("explicit", [True, False])
@pytest.mark.parametrize("number", LACKS)
def test_a_lack_among_the_causes_blames_no_post(number: int, explicit: bool) -> None:
    lack = OSError(number, os.strerror(number))
    assert find_shortage(lack) is lack
    error = wrapped(lack, explicit=explicit)
    assert find_shortage(error) is lack
    assert not blames_post(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a text that the tokenizer cannot bear"),
        OSError(errno.ECONNRESET, "Connection reset by peer"),
        OSError(errno.ENOENT, "No such file"),
        wrapped(OSError(errno.ECONNREFUSED, "Connection refused"), explicit=True),
        SystemExit(3),
        TaskError(Cause.CRASHED, "the service fails at this post", blames_post=True),
    ],
)
def test_any_other_error_may_be_the_fault_of_the_post(error: BaseException) -> None:
    assert find_shortage(error) is None
    assert blames_post(error)


def test_a_lack_that_a_library_does_not_pass_on_is_found_by_trying() -> None:
    error = ValueError("Name or service not known")
    with exhausted_descriptors():
        lack = find_shortage(error)
        assert not blames_post(error)
    assert lack is not None
    assert lack.errno == errno.EMFILE
    assert find_shortage(error) is None


def test_a_thread_that_cannot_be_started_is_a_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", refuse)
    monkeypatch.setattr("threading._start_new_thread", refuse)
    assert not blames_post(RuntimeError("can't start new thread"))
