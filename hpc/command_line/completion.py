"""Write the script that completes the program's commands in a shell."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import shtab


def write_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the completion script of a parser with all its verbs, for bash, zsh or tcsh."""
    for action in _actions(parser):
        if action.type is Path:
            setattr(action, "complete", shtab.FILE)  # noqa: B010 - shtab looks for this attribute
    return shtab.complete(parser, shell)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the actions of a parser and of its subparsers."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                yield from _actions(subparser)
