"""Name an option as its reader knows it: a flag of a command, or an argument in Python.

The same checks serve `hpc export --to labels.csv` and `api.export(to="labels.csv")`. A message
names an option by a value of `pipeline.messages.options`, and who called decides how that reads.
"""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from os import PathLike, fspath

import msgspec

# A variable of the context and not of the process: a notebook has threads.
_AT_SHELL = ContextVar("at_shell", default=False)


@contextmanager
def for_shell() -> Iterator[None]:
    """Name options by their flags within the block, for somebody at a shell."""
    token = _AT_SHELL.set(True)
    try:
        yield
    finally:
        _AT_SHELL.reset(token)


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """An option of a command, and the argument of a function that is the same."""

    flag: str
    """At a shell, such as `--run-root`."""
    argument: str
    """In Python: an argument, or a field of a settings value."""
    holder: str = ""
    """The class whose field it is, where that is not clear from the function."""
    is_list: bool = False
    """Whether it may be given several times, and is a list in Python."""

    def __str__(self) -> str:
        """Return its name."""
        if _AT_SHELL.get():
            return self.flag
        return f"{self.holder}.{self.argument}" if self.holder else self.argument

    @property
    def on(self) -> str:
        """The way to switch it on."""
        return self.flag if _AT_SHELL.get() else self._assign("True")

    def usage(self, words: str) -> str:
        """Return it with words for its value, such as `FILE`."""
        if _AT_SHELL.get():
            return f"{self.flag} {words}"
        return self._assign(f'["{words}"]' if self.is_list else words)

    def set_to(self, value: object) -> str:
        """Return it with the value that it has, or should have."""
        if _AT_SHELL.get():
            return f"{self.flag} {value}"
        shown = repr(fspath(value)) if isinstance(value, str | PathLike) else repr(value)
        return self._assign(f"[{shown}]" if self.is_list else shown)

    def to_paste(self, *values: str) -> str:
        """Return it with the values that it should have, ready to be typed or pasted."""
        if _AT_SHELL.get():
            return " ".join(f"{self.flag} {shlex.quote(value)}" for value in values)
        return self._assign(repr(list(values)) if self.is_list else repr(values[0]))

    def _assign(self, value: str) -> str:
        assigned = f"{self.argument}={value}"
        return f"{self.holder}({assigned})" if self.holder else assigned
