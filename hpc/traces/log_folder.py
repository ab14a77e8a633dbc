"""List the log folder of one attempt: which tasks left last words, or started a server."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from hpc.traces.file_cache import Stamp, listed, stamp_of
from pipeline.run_files import last_words
from pipeline.run_files.manifest import log_path, shard_of_server_log


class LogFolder(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the log folder of one attempt. Shards are named by their indices."""

    names: frozenset[str] = frozenset()
    """The names of all files."""
    last_words: Mapping[int, Stamp] = {}
    """The shards whose tasks left last words, with the stamps of the files."""
    with_server: frozenset[int] = frozenset()
    """The shards whose tasks started a server."""


def list_log_folder(run_dir: Path, attempt: int) -> LogFolder:
    """List the log folder of an attempt in one call; the result is empty without a folder."""
    names: list[str] = []
    words: dict[int, Stamp] = {}
    with_server: list[int] = []
    with listed(log_path(run_dir, attempt)) as entries:
        for entry in entries:
            name = entry.name
            names.append(name)
            if (shard := last_words.shard_of(name)) is not None:
                if stamp := stamp_of(entry):
                    words[shard] = stamp
            elif (shard := shard_of_server_log(name)) is not None:
                with_server.append(shard)
    return LogFolder(names=frozenset(names), last_words=words, with_server=frozenset(with_server))
