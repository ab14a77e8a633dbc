"""Write values as YAML that every reader understands in the same way."""

import json
import re
from collections.abc import Mapping, Sequence

# A word that no version of YAML takes for anything but text, also inside [] and {}.
_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./][A-Za-z0-9_./-]*)*", re.ASCII)
# Without quotes, YAML 1.1 takes these for true, false, null or a number.
_NOT_TEXT = re.compile(r"y|n|yes|no|on|off|true|false|null|\.inf|\.nan|[.\d_e+-]+", re.IGNORECASE)


def yaml_value(value: object) -> str:
    """Return a value on one line: a text, number, flag, null, list or mapping of such values.

    Raises:
        TypeError: YAML has no such value.
    """
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        pairs = (f"{_text(str(key))}: {yaml_value(inner)}" for key, inner in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(yaml_value, value))}]"
    raise TypeError(f"YAML has no {type(value).__name__}")


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and not _NOT_TEXT.fullmatch(text):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(map(_visible, quoted))


def _visible(character: str) -> str:
    """Return a character, escaped if YAML forbids it or nobody could see it."""
    if character.isprintable():
        return character
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _number(number: float) -> str:
    """Return a number so that YAML 1.1 reads it as one: 1e-05 without a dot would be text."""
    if number.is_integer() and abs(number) < 1e15:
        return str(int(number))
    shown = repr(number)
    mantissa, exponent, power = shown.partition("e")
    if not exponent:
        return shown
    sign = "" if power.startswith(("-", "+")) else "+"
    return f"{mantissa}{'' if '.' in mantissa else '.0'}e{sign}{power}"
