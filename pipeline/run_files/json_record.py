"""Read JSON that another process of this program wrote, perhaps another version of it."""

from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import DecodeError, Struct, ValidationError

from pipeline import files, limits, strict_json
from pipeline.config.check import Problems, check_record
from pipeline.config.keys import Section
from pipeline.errors import DamagedError, InputError
from pipeline.run_files.recorded_values import find_large_number

T = TypeVar("T", bound=Section)
V = TypeVar("V")


class Version(Struct, frozen=True):
    """What every versioned file says, of whatever version."""

    format: int
    version: str = "unknown"
    """The version of this program that wrote it."""


def read_record(path: Path, record: type[T]) -> T:
    """Return a file's content as a typed value.

    Raises:
        OSError: the file cannot be read, or is too large.
        InputError: it is not JSON, or not such a record; the message names the file and, for each
            key that is unknown, missing or mistyped, the key.
    """
    return parse_record(read_content(path), record, source=str(path))


def find_record(path: Path, record: type[T]) -> T | None:
    """Return a file's content as a typed value; None if the file is not there.

    Raises:
        UnreadableError: the file cannot be read now, so nothing is known about its content.
        InputError: as `read_record` does.
    """
    try:
        content = files.read_whole(path, most_bytes=limits.RECORD_BYTES)
    except FileNotFoundError:
        return None
    except DamagedError as error:
        raise InputError(str(error)) from None
    return parse_record(bytes(content), record, source=str(path))


def read_content(path: Path) -> bytes:
    """Return the content of a file that holds JSON.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger than any such file can be.
    """
    return limits.read_file(path, limits.RECORD_BYTES)


def parse_record(content: bytes, record: type[T], *, source: str) -> T:
    """Return JSON as a typed value; `source` names it in the InputError that is raised."""
    _check_depth(content, source)
    try:
        _check_numbers(content, source)
        try:
            return msgspec.json.decode(content, type=record)
        except ValidationError as error:
            # The error is found before the end is read, which may be torn off.
            values, problem = msgspec.json.decode(content), error
    except (DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{source} is damaged: it is not JSON ({error})") from None
    problems = Problems()
    check_record(record, values, source=source, problems=problems)
    problems.raise_any()
    raise InputError(f"{source} is damaged: {problem}")


def parse_values(content: bytes, kind: type[V], *, source: str) -> V:
    """Return JSON of a plain type, such as `dict[str, object]`. Raises InputError."""
    _check_depth(content, source)
    try:
        _check_numbers(content, source)
        return msgspec.json.decode(content, type=kind)
    except (DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{source} is damaged: {error}") from None


def parse_version(content: bytes, *, source: str, kind: str) -> Version:
    """Return which version wrote a file, before the rest of it is read.

    Raises:
        InputError: it is no such file; the message names `source` and the `kind` that it is not.
    """
    try:
        return msgspec.json.decode(content, type=Version)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        # Not for every file: the rest is checked when it is read.
        _check_depth(content, source)
        raise InputError(f"{source} is damaged: it is not {kind} of this program") from None


def _check_numbers(content: bytes, source: str) -> None:
    if key := find_large_number(content):
        raise InputError(f"{source} is damaged: {key}: the number has more than 64 bits")


def _check_depth(content: bytes, source: str) -> None:
    # A parser that gives up raises RecursionError, which is no error of JSON, and a little earlier
    # it returns what the check of each key cannot walk.
    if strict_json.is_too_deep(content):
        raise InputError(
            f"{source} is damaged: its JSON is nested more than {limits.JSON_LEVELS} levels deep"
        )
