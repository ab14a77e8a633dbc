"""The processes of this machine, by what they were started with."""

from pathlib import Path


def command_lines() -> dict[int, list[str]]:
    """Words of the command line by process id; a zombie has none but an empty one."""
    found: dict[int, list[str]] = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found[int(path.parent.name)] = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended meanwhile
            continue
    return found
