"""Hold what the command line says about a new project. Pure."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """The options of the command line; None for one that is not given."""

    folder: Path
    """The project's folder, as an absolute path."""
    working_folder: Path
    """The folder in which the command was typed, as an absolute path."""
    force: bool = False
    """Whether files that exist are kept under another name and replaced."""
    source: str | None = None
    table: str | None = None
    uri_column: str | None = None
    text_column: str | None = None
    timestamp_column: str | None = None
    name: str | None = None
    classifier: str | None = None
    api_key_file: str | None = None
    api_key_env: str | None = None
    requests_per_minute: str | None = None
    base_url: str | None = None
    model: str | None = None
    revision: str | None = None
    labels: str | None = None
    executor: str | None = None
    cluster_name: str | None = None
    account: str | None = None
    partition: str | None = None
    qos: str | None = None
    gres: str | None = None
    time: str | None = None
    mem_gb: str | None = None
    setup: tuple[str, ...] | None = None
    template: str | None = None

    @property
    def flags(self) -> set[str]:
        """Return the options that are given and answer a question, such as `--table`."""
        others = ("folder", "working_folder", "force", "setup")
        return {
            f"--{name.replace('_', '-')}"
            for name in self.__slots__
            if name not in others and getattr(self, name) is not None
        }
