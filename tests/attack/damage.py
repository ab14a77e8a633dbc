"""What can happen to a file: each kind of damage, as a function of a path and of a number."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.attack.world import World

Damage = Callable[[Path, World, random.Random], None]

DEEP = 100_000


def missing(path: Path, world: World, chance: random.Random) -> None:
    path.unlink()


def empty(path: Path, world: World, chance: random.Random) -> None:
    path.write_bytes(b"")


def truncated(path: Path, world: World, chance: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content))] if content else b"")


def zeros_at_its_end(path: Path, world: World, chance: random.Random) -> None:
    """As a file system leaves a file that was not synced before the power failed."""
    content = path.read_bytes()
    kept = chance.randrange(len(content)) if content else 0
    path.write_bytes(content[:kept] + bytes(len(content) - kept))


def garbage(path: Path, world: World, chance: random.Random) -> None:
    path.write_bytes(chance.randbytes(max(len(path.read_bytes()), 50)))


def bit_flip(path: Path, world: World, chance: random.Random) -> None:
    content = bytearray(path.read_bytes() or b" ")
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def longer(path: Path, world: World, chance: random.Random) -> None:
    path.write_bytes(path.read_bytes() + b"\0" * 100)


def folder(path: Path, world: World, chance: random.Random) -> None:
    path.unlink()
    path.mkdir()
    (path / "a-file").write_text("in a folder")


def dangling_link(path: Path, world: World, chance: random.Random) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def circular_link(path: Path, world: World, chance: random.Random) -> None:
    path.unlink()
    path.symlink_to(path)


def fifo(path: Path, world: World, chance: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def deep_json(path: Path, world: World, chance: random.Random) -> None:
    path.write_text(chance.choice(("[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP)))


def huge_number(path: Path, world: World, chance: random.Random) -> None:
    path.write_text("9" * 10_000)


def other_json(path: Path, world: World, chance: random.Random) -> None:
    """A value of another type somewhere in its JSON, or instead of it."""
    wrong = chance.choice((None, [], {}, "x", -1, 1e308, True, [[]], {"": 0}, "\ud800", 2**70))
    try:
        document = json.loads(path.read_bytes())
    except ValueError:
        document = None
    places = places_in(document)
    if places and chance.random() < 0.9:
        container, key = chance.choice(places)
        container[key] = wrong
    else:
        document = wrong
    path.write_text(json.dumps(document))


def places_in(document: object) -> list[tuple[Any, Any]]:
    """Return each object and list in a JSON value with each of its keys or indices."""
    if isinstance(document, dict):
        inner = list(document)
    elif isinstance(document, list):
        inner = list(range(len(document)))
    else:
        return []
    return [
        place for key in inner for place in ((document, key), *places_in(document[key]))
    ]  # fmt: skip


def swapped(path: Path, world: World, chance: random.Random) -> None:
    """The content of another file of its kind, in its place and the other way round."""
    others = [other for other in world.files() if other.suffix == path.suffix and other != path]
    if not others:
        missing(path, world, chance)
        return
    other = chance.choice(sorted(others))
    mine = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(mine)


def copied_over(path: Path, world: World, chance: random.Random) -> None:
    """The content of another file of its kind."""
    others = [other for other in world.files() if other.suffix == path.suffix and other != path]
    if others:
        path.write_bytes(chance.choice(sorted(others)).read_bytes())
    else:
        missing(path, world, chance)


def restored_from_backup(path: Path, world: World, chance: random.Random) -> None:
    """The file as it was when the interrupted run was interrupted for the first time."""
    before = world.backup / path.relative_to(world.folder)
    if before.exists():
        shutil.copy2(before, path)
    else:
        path.unlink()


DAMAGES: tuple[Damage, ...] = (
    missing,
    empty,
    truncated,
    zeros_at_its_end,
    garbage,
    bit_flip,
    longer,
    folder,
    dangling_link,
    circular_link,
    fifo,
    deep_json,
    huge_number,
    other_json,
    swapped,
    copied_over,
    restored_from_backup,
)
