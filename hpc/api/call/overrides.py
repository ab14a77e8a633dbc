"""Write the overrides of a configuration as the command line has them."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from os import PathLike

from pipeline.errors import InputError

# What YAML rejects or takes for the end of a line. Not compiled here, which takes 3 ms.
_NOT_IN_YAML = (
    r"[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)

OverrideValue = (
    str | int | float | bool | PathLike[str] | Sequence["OverrideValue"]
    | Mapping[str, "OverrideValue"] | None
)  # fmt: skip
"""A value of a configuration's key."""

Overrides = Mapping[str, OverrideValue] | Sequence[str]
"""Values by the path of their key, such as `{"cluster.mem_gb": 4}`, or texts such as
`cluster.mem_gb=4`, as `--set` takes them."""


def override_texts(overrides: Overrides) -> tuple[str, ...]:
    """Return each override as `a.b=value`, with the value in YAML.

    Raises:
        InputError: a value is of a type that a configuration cannot hold.
    """
    if isinstance(overrides, Mapping):
        return tuple(f"{path}={_yaml(path, value)}" for path, value in overrides.items())
    if isinstance(overrides, str):
        raise InputError(f"overrides: should be a mapping or a list of texts, not {overrides!r}")
    return tuple(overrides)


def _yaml(path: str, value: object) -> str:
    """Return a value in YAML, on one line: in JSON, which YAML contains."""
    match value:
        case None | bool() | int():
            return json.dumps(value)
        case str():
            return re.sub(_NOT_IN_YAML, _escape, json.dumps(value, ensure_ascii=False))
        case float() if math.isfinite(value):
            text = repr(value)
            # To YAML, 1e-07 is a text.
            return text if "e" not in text or "." in text else text.replace("e", ".0e")
        case PathLike():
            return _yaml(path, str(value))
        case Mapping():
            items = (f"{_yaml(path, str(key))}: {_yaml(path, item)}" for key, item in value.items())
            return f"{{{', '.join(items)}}}"
        case list() | tuple():
            return f"[{', '.join(_yaml(path, item) for item in value)}]"
    raise InputError(
        f"{path}: should be a text, a number, true, false, a path, a list or a mapping, not "
        f"{type(value).__name__}"
    )


def _escape(found: re.Match[str]) -> str:
    return f"\\U{ord(found[0]):08x}"
