"""Define the limits of everything that the program reads from others, in one place.

A service, a shared file system or a mistake can give this program anything to read. Each limit is
far above what is ever needed, and low enough that no reader runs out of memory or time. Content
that exceeds a limit is reported, never cut silently.
"""

import errno
import os
import stat
from pathlib import Path

from pipeline.name_errors import naming

MEBIBYTE = 1 << 20

ANSWER_BYTES = MEBIBYTE
"""An HTTP answer, decompressed. A classifier that asks for more per answer adds to it."""

LOGPROB_BYTES = 256
"""What an answer may need in addition for each token, or alternative of a token, asked for."""

SPANS_BYTES = MEBIBYTE
"""What an answer may need in addition for each Perspective attribute with scores of spans."""

FRAMING_BYTES = MEBIBYTE // 8
"""What an answer may need beside its body: headers, and the sizes of its chunks."""

JSON_LEVELS = 64
"""How many levels of objects and lists any JSON may have."""

RECORD_BYTES = 64 * MEBIBYTE
"""A JSON file of a run's folder. A manifest of 10,000 shards has about 2 MiB."""

YAML_BYTES = MEBIBYTE // 8
"""A configuration or a template. PyYAML needs some seconds for this many."""

YAML_LEVELS = 32
"""How many levels of mappings and lists YAML may have."""

YAML_CHARACTERS = MEBIBYTE
"""A configuration after its aliases have been replaced by what they stand for."""

NOTE_BYTES = MEBIBYTE // 16
"""A small text file of a run's folder, such as a lock or the name of its cluster."""

KEY_BYTES = MEBIBYTE // 16
"""A file that holds an API key."""

PROMPT_BYTES = MEBIBYTE
"""A prompt, and any other text file that a configuration names."""

REQUEST_BYTES = MEBIBYTE // 16
"""The fields that a configuration adds to every request, as JSON."""

REQUEST_LEVELS = 16
"""How many levels of mappings and lists these fields may have."""


_FURTHER_BYTES = 1 << 16


class TooLarge(OSError):
    """A file that is larger than what its reader accepts."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        problem = f"it is larger than {in_words(most_bytes)}"
        super().__init__(errno.EFBIG, problem, str(path))


def read_file(path: Path, most_bytes: int) -> bytes:
    """Return the content of a regular file.

    Raises:
        TooLarge: it has more than `most_bytes`.
        OSError: it cannot be read, or is no regular file.
    """
    pieces: list[bytes] = []
    left = most_bytes + 1
    with naming(path), os.fdopen(open_regular(path), "rb", buffering=0) as stream:
        # Room for what is there and no more: memory for the most that is allowed would take five
        # times as long as reading it. The file may grow meanwhile.
        room = os.fstat(stream.fileno()).st_size + 1
        while left and (piece := os.read(stream.fileno(), min(room, left))):
            pieces.append(piece)
            left -= len(piece)
            room = _FURTHER_BYTES
    if not left:
        raise TooLarge(path, most_bytes)
    return b"".join(pieces)


def open_regular(path: Path) -> int:
    """Open a regular file for reading, and return its descriptor.

    Raises:
        OSError: it cannot be opened, or is no regular file. A pipe would be waited for without
            end, and a device may have none.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def in_words(number_of_bytes: int) -> str:
    """Return a limit as messages show it, such as `1 MiB` or `256 KiB`."""
    if number_of_bytes >= MEBIBYTE:
        return f"{number_of_bytes / MEBIBYTE:.3g} MiB"
    return f"{number_of_bytes / 1024:.3g} KiB"
