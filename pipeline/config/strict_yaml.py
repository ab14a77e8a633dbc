"""Read YAML strictly: reject, with its line, what PyYAML accepts silently and nobody means."""

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.error import Mark, MarkedYAMLError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError

from pipeline import limits
from pipeline.config.input_files import read_input
from pipeline.limits import YAML_LEVELS
from pipeline.terminal import shorten_line

_MERGE = "tag:yaml.org,2002:merge"
_LONGEST_NUMBER = 1000
_LONGEST_KEY = 80
_LONGEST_MESSAGE = 1000


# PyYAML reads numbers as YAML 1.1 does, where 4:00:00 is 14,400, a number of base 60. Everybody who
# writes a time means a time.
_NUMBERS = {
    "tag:yaml.org,2002:int": re.compile(
        r"[-+]?(?:0b[0-1_]+|0x[0-9a-fA-F_]+|0[0-7_]+|0|[1-9][0-9_]*)\Z"
    ),
    "tag:yaml.org,2002:float": re.compile(
        r"(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
    ),
}


class _Loader(yaml.SafeLoader):
    """Reads what SafeLoader reads, but numbers of base 60 as text, and to a certain depth."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own attribute
        first: [(tag, _NUMBERS.get(tag, pattern)) for tag, pattern in resolvers]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    levels = 0

    def compose_node(self, parent: Any, index: Any) -> Node | None:
        """Return the next node. PyYAML descends by recursion."""
        if self.levels >= YAML_LEVELS:
            raise ComposerError(
                problem=f"nested more than {YAML_LEVELS} levels deep",
                problem_mark=self.peek_event().start_mark,  # type: ignore[no-untyped-call]
            )
        self.levels += 1
        node: Node | None = super().compose_node(parent, index)
        self.levels -= 1
        return node


class InvalidYaml(Exception):
    """Text that is not YAML; the message says what is wrong, and in which line."""


def read_file(path: Path) -> Any:
    """Return the values of a file, as `read` does.

    Raises:
        UnreadableError: it cannot be read now.
        OSError: it cannot be read, or is too large for any configuration.
        InvalidYaml: it is not YAML, or says something twice.
    """
    try:
        return read(read_input(path, limits.YAML_BYTES).decode())
    except UnicodeDecodeError as error:
        raise InvalidYaml(str(error)) from None


def read(text: str) -> Any:
    """Return the document's values; None if there is no document.

    A key that occurs twice in a mapping is rejected. PyYAML takes the last one, so a run would not
    label by what its reader sees first. An alias is allowed, but a few lines in which each alias
    stands for several others stand for more values than any memory holds.

    Raises:
        InvalidYaml: the text is not YAML, says something twice, or exceeds a limit.
    """
    if len(text) > limits.YAML_BYTES:
        raise InvalidYaml(f"it is longer than {limits.in_words(limits.YAML_BYTES)}")
    try:
        loader = _Loader(text)
        document = loader.get_single_node()
        if document is None:
            return None
        _check(document, {})
        return loader.construct_document(document)
    # A ValueError is an impossible date, such as 2024-13-01.
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidYaml(_describe(error)) from None
    # What PyYAML raises for a value that does not fit a tag, such as `!!int ""` or `!!bool 1`.
    except (LookupError, TypeError, AttributeError, OverflowError):
        raise InvalidYaml("a value does not fit the tag (!!) before it") from None


def _describe(error: yaml.YAMLError | ValueError) -> str:
    """Return what is wrong; PyYAML takes a glob for an alias, which nobody means."""
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        mark = error.context_mark or error.problem_mark
        line = (mark.buffer or "").rstrip("\0").splitlines()[mark.line : mark.line + 1]
        if line and line[0][mark.column : mark.column + 1] == "*":
            return f"line {mark.line + 1}: a text that begins with * needs quotes around it"
        return _describe_place(error, error.problem_mark)
    if isinstance(error, ReaderError):
        return (
            f"position {error.position + 1}: the character U+{error.character:04X} is not allowed"
        )
    return shorten_line(str(error), _LONGEST_MESSAGE)


def _describe_place(error: MarkedYAMLError, mark: Mark) -> str:
    """Return where PyYAML stopped and why, and that place. Its own words begin with the context."""
    context = f", {error.context}" if error.context else ""
    if error.context and error.context_mark and error.context_mark.line != mark.line:
        context += f" in line {error.context_mark.line + 1}"
    why = shorten_line(f"{error.problem or 'it ends too early'}{context}", _LONGEST_MESSAGE)
    snippet = mark.get_snippet(indent=2)
    return f"line {mark.line + 1}, column {mark.column + 1}: {why}" + (
        f"\n{snippet}" if snippet else ""
    )


def _check(node: Node, sizes: dict[int, int]) -> int:
    """Check every node once, and return how many characters it stands for.

    Args:
        node: the node.
        sizes: the sizes of the nodes that are checked; 0 for one that is being checked.
    """
    if id(node) in sizes:
        if not sizes[id(node)]:
            raise ConstructorError(
                problem="an alias contains itself",
                problem_mark=node.start_mark,
            )
        return sizes[id(node)]
    sizes[id(node)] = 0
    size = 1
    if isinstance(node, ScalarNode):
        node.value = _join_halves(node)
        size += len(node.value)
        _check_number(node)
    elif isinstance(node, SequenceNode):
        size += sum(_check(item, sizes) for item in node.value)
    elif isinstance(node, MappingNode):
        size += sum(_check(key, sizes) + _check(value, sizes) for key, value in node.value)
        _check_keys(node)
    if size > limits.YAML_CHARACTERS:
        raise ConstructorError(
            problem=f"aliases multiply it to more than {limits.YAML_CHARACTERS:,} characters",
            problem_mark=node.start_mark,
        )
    sizes[id(node)] = size
    return size


def _check_keys(node: MappingNode) -> None:
    keys: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if not isinstance(key, ScalarNode) or key.tag == _MERGE:
            continue
        if (key.tag, key.value) in keys:
            raise ConstructorError(
                problem=f"the key {shorten_line(key.value, _LONGEST_KEY)!r} occurs twice",
                problem_mark=key.start_mark,
            )
        keys.add((key.tag, key.value))


def _check_number(node: ScalarNode) -> None:
    """Reject a whole number that Python could compute with, but not show."""
    if node.tag == "tag:yaml.org,2002:int" and len(node.value) > _LONGEST_NUMBER:
        raise ConstructorError(
            problem=f"a number of {len(node.value):,} digits", problem_mark=node.start_mark
        )


def _join_halves(node: ScalarNode) -> str:
    r"""Return a node's text with the halves of emoji joined.

    JSON, which is YAML too, writes an emoji as two halves (\ud83e\udd8b). PyYAML leaves them so,
    and no file can hold them.
    """
    try:
        joined: str = node.value.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise ConstructorError(
            problem="half a character (\\ud800 to \\udfff)", problem_mark=node.start_mark
        ) from None
    return joined
