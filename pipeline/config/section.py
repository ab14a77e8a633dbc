"""One mapping of the configuration, read strictly: a missing, mistyped or unknown key is refused
with its whole path (`classifier.attributes[2]`) and the file that it stands in."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.text import did_you_mean, nearest

_REQUIRED: Any = object()

# Some months in seconds. Python's own waits end with an OverflowError past 10**10.
LONGEST_TIME = 10_000_000


class Section:
    """Reads keys of a mapping and remembers which; `done()` refuses those that nobody read.

    Raises InputError from every method where the value is absent (without a default) or wrong.
    """

    def __init__(self, values: Any, *, path: str, source: str, folders: tuple[Path, ...]) -> None:
        self.path = path
        self.source = source
        self.folders = folders
        if values is None:
            values = {}
        if not isinstance(values, Mapping):
            raise self.error("", f"should be a mapping of keys, not {values!r}")
        self._values: Mapping[Any, Any] = values
        self._known: set[str] = set()

    def key_path(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path and key else self.path or key

    def error(self, key: str, problem: str) -> InputError:
        return InputError(f"{self.source}: {self.key_path(key) or 'the file'}: {problem}")

    def missing(self, key: str, otherwise: str = "") -> InputError:
        return self.error(key, f"is missing{self._did_you_mean(key)}{otherwise}")

    def has(self, key: str) -> bool:
        self._known.add(key)
        return self._values.get(key) is not None

    def is_null(self, key: str) -> bool:
        """Whether it is given as null: the default, of nearly all keys, but of some a value."""
        self._known.add(key)
        return key in self._values and self._values[key] is None

    def value(self, key: str, default: Any = _REQUIRED) -> Any:
        if self.has(key):
            return self._values[key]
        if default is _REQUIRED:
            raise self.missing(key)
        return default

    def text(self, key: str, default: Any = _REQUIRED, *, may_be_empty: bool = False) -> Any:
        value = self.value(key, default)
        if value is default:
            return value
        if not isinstance(value, str):
            raise self.error(key, f"should be text, not {value!r}")
        if not value.strip() and not may_be_empty:
            raise self.error(key, "is empty: give it a value, or leave the key out")
        return value

    def integer(self, key: str, default: Any = _REQUIRED, *, least: int = 0) -> Any:
        value = self.value(key, default)
        if value is default:
            return value
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.error(key, f"should be a whole number, {least} or more, not {value!r}")
        return value

    def number(self, key: str, default: Any = _REQUIRED, *, above: float | None = None) -> Any:
        value = self.value(key, default)
        if value is default:
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
            raise self.error(key, f"should be a number, not {value!r}")
        if above is not None and value <= above:
            raise self.error(key, f"should be more than {above:g}, not {value!r}")
        return float(value)

    def time(self, key: str, default: Any = _REQUIRED, *, above: float = 0) -> Any:
        """A number of seconds or minutes."""
        value = self.number(key, default, above=above)
        if value is not None and value > LONGEST_TIME:
            raise self.error(key, f"should be {LONGEST_TIME:,} at most, not {value!r}")
        return value

    def boolean(self, key: str, default: Any = _REQUIRED) -> Any:
        value = self.value(key, default)
        if value is not default and not isinstance(value, bool):
            raise self.error(key, f"should be true or false, not {value!r}")
        return value

    def choice(
        self,
        key: str,
        allowed: tuple[str, ...],
        default: Any = _REQUIRED,
        *,
        other_words: Mapping[str, str] | None = None,
    ) -> Any:
        """`other_words`: what people say for one of `allowed` and spelling does not tell."""
        value = self.value(key, default)
        if value is not default and value not in allowed:
            meant = (other_words or {}).get(str(value).lower(), str(value))
            near = did_you_mean(meant, allowed)
            raise self.error(key, f"should be one of {', '.join(allowed)}, not {value!r}{near}")
        return value

    def texts(self, key: str, default: Any = _REQUIRED) -> Any:
        value = self.value(key, default)
        if value is default:
            return value
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(key, f"should be a list of texts, not {value!r}")
        return value

    def section(self, key: str) -> "Section":
        return self._inner(self.value(key, None), self.key_path(key))

    def sections(self, key: str) -> list["Section"]:
        value = self.value(key)
        if not isinstance(value, list) or not value:
            raise self.error(key, f"should be a list with at least one item, not {value!r}")
        return [self._inner(item, f"{self.key_path(key)}[{i}]") for i, item in enumerate(value)]

    def input_file(self, key: str) -> Path:
        """A file that must exist, tried from the configuration's folder, then the working one."""
        name = Path(self.text(key)).expanduser()
        tried = [folder / name for folder in self.folders]
        for candidate in tried:
            if candidate.is_file():
                return candidate
        raise self.error(key, f"there is no file {' or '.join(map(str, dict.fromkeys(tried)))}")

    def input_text(self, key: str) -> str:
        """What stands in an input file: UTF-8, and something."""
        path = self.input_file(key)
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise self.error(key, f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise self.error(key, f"{path} is not UTF-8: {error}") from None
        if not text.strip():
            raise self.error(key, f"{path} is empty")
        return text

    def done(self) -> None:
        for key in self._values:
            if key not in self._known:
                near = did_you_mean(str(key), sorted(self._known))
                raise self.error(str(key), f"is not a key that anything reads{near}")

    def _inner(self, values: Any, path: str) -> "Section":
        return Section(values, path=path, source=self.source, folders=self.folders)

    def _did_you_mean(self, key: str) -> str:
        """What is there and nothing reads, where it may be this key misspelt."""
        near = nearest(key, [str(name) for name in self._values if name not in self._known])
        return f" (is {near!r} meant to be it?)" if near else ""


def _is_finite(value: float) -> bool:
    """The run's folder is JSON, and so is what is sent: neither has an infinite number."""
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False
