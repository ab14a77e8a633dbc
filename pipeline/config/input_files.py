"""Find and read the files that a configuration names, such as a prompt, and report failures."""

from pathlib import Path

import msgspec

from pipeline import limits
from pipeline.config.check import Problems
from pipeline.errors import UnreadableError
from pipeline.system.shortage import is_shortage


class InputFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Finds the files that one section names, and collects what is wrong with its values.

    Attributes:
        source: the configuration's file, as messages name it.
        path: the section's key, such as "classifier".
        folders: where relative paths are tried, in turn.
        problems: gets what is wrong.
    """

    source: str
    path: str
    folders: tuple[Path, ...]
    problems: Problems

    def report(self, key: str, problem: str) -> None:
        """Add a problem with the value of a key."""
        self.problems.add(self.source, f"{self.path}.{key}", problem)

    def report_lack(self, key: str, problem: str, advice: str = "") -> None:
        """Add that this shell or machine lacks what the value of a key names, and what to do."""
        self.problems.add_lack(self.source, f"{self.path}.{key}", problem, advice)

    def candidates(self, name: str) -> tuple[Path, ...]:
        """Return where a path may lead, each place once."""
        path = Path(name).expanduser()
        return tuple(dict.fromkeys(folder / path for folder in self.folders))

    def find(self, key: str, name: str) -> Path | None:
        """Return the first file of that name; None, and a problem, where there is none.

        Raises:
            UnreadableError: it is unknown whether there is one.
        """
        tried = self.candidates(name)
        for path in tried:
            if _is_file(path):
                return path
        self.report(key, f"there is no file {' or '.join(map(str, tried))}")
        return None

    def text(self, key: str, name: str) -> str:
        """Return the text of a UTF-8 file; '', and a problem, where there is none.

        Raises:
            UnreadableError: it cannot be read now.
        """
        path = self.find(key, name)
        if path is None:
            return ""
        try:
            text = read_input(path, limits.PROMPT_BYTES).decode()
        except OSError as error:
            self.report(key, f"{path} cannot be read: {error.strerror}")
            return ""
        except UnicodeDecodeError as error:
            self.report(key, f"{path} is not UTF-8: {error}")
            return ""
        if not text.strip():
            self.report(key, f"{path} is empty")
        return text


def read_input(path: Path, most_bytes: int) -> bytes:
    """Return the content of a file that a person wrote.

    Raises:
        UnreadableError: this machine cannot read it now, and what is in it may be right.
        OSError: it is not there, is closed to this user, or is no file of at most this size.
    """
    try:
        return limits.read_file(path, most_bytes)
    except OSError as error:
        if is_shortage(error):
            raise UnreadableError(path, error) from error
        raise


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        if is_shortage(error):
            raise UnreadableError(path, error) from error
        raise
