"""Load the samples of a run root into the database. Safe to repeat."""

import json
from pathlib import Path

import duckdb

from pipeline.database import sample_rows
from pipeline.errors import DamagedError, UnreadableError
from pipeline.run_files import sample_file


def load_samples(
    connection: duckdb.DuckDBPyConnection, run_root: Path
) -> tuple[DamagedError | UnreadableError, ...]:
    """Make table `samples` hold what the files say.

    A sample whose file is gone stays: nothing else knows its probabilities.

    Args:
        connection: the database, open for writing.
        run_root: the folder of the runs, with the samples in its folder `samples`.

    Returns:
        An error for each file that is damaged or cannot be read now.
    """
    errors: list[DamagedError | UnreadableError] = []
    try:
        paths = sample_file.list_files(run_root)
    except UnreadableError as error:
        return (error,)
    for path in paths:
        try:
            _load(connection, path)
        except FileNotFoundError:  # removed this moment
            continue
        except (DamagedError, UnreadableError) as error:
            errors.append(error)
    return tuple(errors)


def _load(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    sample = sample_file.read_description(path)
    description = json.dumps(sample.to_json(), ensure_ascii=False)
    if not sample_rows.has(connection, sample.sample, description, sample.size):
        rows = sample_file.read(path).rows
        sample_rows.put(connection, sample.sample, description, rows)
