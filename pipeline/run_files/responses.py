"""Keep the responses of a shard's service beside its output, and show later that they are whole.

They have one file per publication, in the run's folder `raw`. The output's footer has its SHA-256,
so that the output proves the responses as it proves the labels.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from pipeline import files
from pipeline.errors import DamagedError, UnreadableError
from pipeline.model import RAW_SCHEMA
from pipeline.run_files import read_parquet
from pipeline.run_files.manifest import output_path, raw_path

SHA256 = "hpc.responses_sha256"
PUBLICATION = "hpc.publication"
# Part of a file's name.
_PUBLICATION = re.compile(r"[0-9a-f]{1,64}")


def write(path: Path, footer: Mapping[str, str], responses: Iterable[pa.Table]) -> str:
    """Write the responses of a publication; return the SHA-256 of the file.

    Args:
        path: the file.
        footer: what its footer says.
        responses: in RAW_SCHEMA.

    Raises:
        OSError: the file cannot be written, or a part that has responses cannot be read.
    """
    path.parent.mkdir(exist_ok=True)
    files.write_tables(path, RAW_SCHEMA.with_metadata(footer), responses)
    return files.sha256_of(path)


def find_problems(run_dir: Path, indices: Sequence[int], *, of_all: bool = True) -> list[str]:
    """Return what is wrong with the responses of shards that are done, a line for each file.

    Args:
        run_dir: the folder of a run that keeps responses.
        indices: the shards whose outputs are verified.
        of_all: whether every shard has responses. If not, because `keep_raw` was corrected on the
            way, those have them whose output says so.
    """
    folder = raw_path(run_dir, 0, "").parent
    if indices and of_all and not (folder.is_dir() or files.names_in(folder)):
        return [f"{folder} is missing: the responses of this run are not here any more"]
    problems = (_find_problem(run_dir, index, of_all=of_all) for index in indices)
    return [problem for problem in problems if problem]


def _find_problem(run_dir: Path, index: int, *, of_all: bool) -> str:
    """Return what is wrong with the responses of a shard; '' if nothing is."""
    output = output_path(run_dir, index)
    try:
        metadata = read_parquet.read_footer(output, pauses=()).schema.metadata or {}
    except (OSError, UnreadableError, DamagedError) as error:
        return f"{output}: it cannot say which responses are its own: {error}"
    publication = metadata.get(PUBLICATION.encode(), b"").decode(errors="replace")
    if not _PUBLICATION.fullmatch(publication):
        return f"{output}: it does not say which responses are its own"
    path = raw_path(run_dir, index, publication)
    # Outputs of earlier versions do not say what the responses are, only which file has them.
    expected = metadata.get(SHA256.encode(), b"").decode(errors="replace")
    if not expected and not of_all:
        return ""
    try:
        actual = files.sha256_of(path)
    except FileNotFoundError:
        return f"{path} is missing: it has the responses of {output.name}"
    except OSError as error:
        return f"{path} cannot be read now: {error.strerror}"
    if expected and actual != expected:
        return (
            f"{path} is not what was published: its sha256 is {actual}, and {output.name} says "
            f"{expected}"
        )
    return ""
