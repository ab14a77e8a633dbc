"""Show mapped labels in the database, by the maps of a run root. Safe to repeat."""

from pathlib import Path

import duckdb

from pipeline.database import mapped_labels
from pipeline.errors import InputError, UnreadableError
from pipeline.run_files import score_map


def load_maps(
    connection: duckdb.DuckDBPyConnection, run_root: Path
) -> tuple[InputError | UnreadableError, ...]:
    """Create the view of each map whose labels the database has.

    Args:
        connection: the database, open for writing.
        run_root: the folder of the runs, with the maps in its folder `maps`.

    Returns:
        An error for each map that is damaged or cannot be read now, or does not fit the labels.
    """
    errors: list[InputError | UnreadableError] = []
    try:
        paths = score_map.list_files(run_root)
    except UnreadableError as error:
        return (error,)
    for path in paths:
        try:
            mapped_labels.create_view(connection, score_map.read(path), path)
        except FileNotFoundError:  # removed this moment
            continue
        except OSError as error:
            errors.append(UnreadableError(path, error))
        except InputError as error:
            errors.append(error)
    return tuple(errors)
