"""Put the logs of a shard's attempts into one file, with a heading for each."""

import os
import re
from pathlib import Path

from hpc.run.model.attempts import LogExcerpt
from hpc.traces.packed_tasks import packed_log_path
from pipeline import files, limits

MOST_BYTES = 2**20
"""Of one log. Of a longer one, the end is kept, which says how the task ended."""


# What a killed process had begun to write. Nothing else writes logs into this folder.
_BEGUN = re.compile(rf"{re.escape(files.TEMPORARY_PREFIX)}[0-9a-f]+-\d+\.log")


def remove_begun(run_dir: Path) -> None:
    """Remove the logs that killed processes had begun to write. The caller holds the run's lock."""
    for path in (run_dir / "logs").glob(f"{files.TEMPORARY_PREFIX}*"):
        if _BEGUN.fullmatch(path.name):
            path.unlink(missing_ok=True)


class ShardLog:
    """The one log of a shard while it is put together."""

    def __init__(self, run_dir: Path, shard: int, *, recorded: int) -> None:
        """Read what is there.

        Args:
            run_dir: the run's folder.
            shard: the index of the shard.
            recorded: how many bytes of the file the list knows. What follows was written by a
                process that was killed before it could add them to the list.

        Raises:
            OSError: the log is there but cannot be read now.
        """
        self._path = packed_log_path(run_dir, shard)
        try:
            with os.fdopen(limits.open_regular(self._path), "rb") as stream:
                self._content = bytearray(stream.read(recorded))
        except FileNotFoundError:
            self._content = bytearray()
        # Whoever removed the log must not make the list point into other tasks' logs.
        self._content.extend(b"\n" * (recorded - len(self._content)))
        self._is_changed = False

    def add_file(self, title: str, path: Path, known: LogExcerpt | None) -> LogExcerpt | None:
        """Add the end of a file; return where it is, or `known` if there is no such file.

        Raises:
            OSError: the file is there but cannot be read now.
        """
        try:
            with os.fdopen(limits.open_regular(path), "rb") as stream:
                left_out = max(0, stream.seek(0, 2) - MOST_BYTES)
                stream.seek(left_out)
                content = stream.read()
        except FileNotFoundError:
            return known
        cut = f", without its first {left_out:,} bytes" if left_out else ""
        return self.add(f"{title}{cut}", content, known)

    def add(self, title: str, content: bytes, known: LogExcerpt | None) -> LogExcerpt:
        """Add a text under a heading, unless it is there already; return where it is.

        Args:
            title: what the heading says.
            content: the text.
            known: where an earlier packing of the same text put it; None for a new one.
        """
        if known and self._content[known.offset : known.offset + known.length] == content:
            return known
        if self._content and not self._content.endswith(b"\n"):
            self._content += b"\n"
        self._content += f"==== {title} ====\n".encode()
        excerpt = LogExcerpt(len(self._content), len(content))
        self._content += content
        self._is_changed = True
        return excerpt

    def write(self) -> None:
        """Let the log appear whole. The caller syncs it, together with others.

        Raises:
            OSError: the disk is full.
        """
        if not self._is_changed:
            return
        with files.appearing_whole(self._path, sync=False) as temporary:
            temporary.write_bytes(self._content)
