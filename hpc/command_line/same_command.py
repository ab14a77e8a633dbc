"""Write the command that was typed once more, for a person to paste."""

import shlex
from collections.abc import Mapping

# What says how the answer is shown, and not what is done.
_NOT_REPEATED = frozenset({"verb", "json", "debug", "yes"})


def same_command(verb: str, options: Mapping[str, object]) -> str:
    """Return a command with these options, quoted for a shell.

    Args:
        verb: the verb.
        options: the values by their names, as argparse has them. A list is an option that may be
            given several times, and a tuple is one comma list.
    """
    words = ["hpc", verb]
    for name, value in options.items():
        if name in _NOT_REPEATED or value is None or value is False or value in ([], ()):
            continue
        flag = f"--{name.replace('_', '-')}"
        for each in value if isinstance(value, list) else [value]:
            words += [flag] if each is True else [flag, _word(each)]
    return shlex.join(words)


def _word(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
