"""Describe what to compare. This module needs no numpy, so that parsing a command stays quick."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hpc.database.published_labels import OpenPosts
from pipeline.analysis.options import CompareOptions
from pipeline.config.session_limits import LOGIN_NODE, SessionLimits
from pipeline.database.duckdb_file import LOCK_WAIT_S, Patience

# The attached database.
LABELS = "labels"
# It is opened once, so a notebook may have it open for as long as it likes.
PATIENCE = Patience(seconds=LOCK_WAIT_S)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Which labels to compare, and how."""

    database: Path
    names: tuple[str, ...]
    """Two names to compare with each other; with gold, one or more to compare with it."""
    gold: str | None = None
    """The name of the human labels."""
    sample: str | None = None
    """Which sample gives the weights, if there are several."""
    column_pairs: tuple[str, ...] = ()
    """Pairs of columns to compare, as `a=b`."""
    settings: CompareOptions
    run_root: Path | None = None
    """Where score maps are saved; None for the folder of the second name's runs."""
    saves_map: bool = False
    limits: SessionLimits = LOGIN_NODE
    """How much of the machine DuckDB may take."""
    open_posts: Mapping[str, OpenPosts] = field(default_factory=dict)
    """By name, which posts of its runs the database does not have."""
    figures: Path | None = None
    """The folder to draw figures into; None for no figures."""

    def open_posts_of(self, name: str) -> OpenPosts:
        """Return which posts of a name's runs the database does not have."""
        return self.open_posts.get(name, OpenPosts())
