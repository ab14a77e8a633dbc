"""Read YAML strictly: reject, with its line, what PyYAML accepts silently and nobody means."""

import re
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

_MERGE = "tag:yaml.org,2002:merge"


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
    """Reads what SafeLoader reads, but numbers of base 60 as text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own attribute
        first: [(tag, _NUMBERS.get(tag, pattern)) for tag, pattern in resolvers]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class InvalidYaml(Exception):
    """Text that is not YAML; the message says what is wrong, and in which line."""


def read(text: str) -> Any:
    """Return the document's values; None if there is no document.

    A key that occurs twice in a mapping is rejected. PyYAML takes the last one, so a run would not
    label by what its reader sees first.

    Raises:
        InvalidYaml: the text is not YAML, or says something twice.
    """
    try:
        loader = _Loader(text)
        document = loader.get_single_node()
        if document is None:
            return None
        _check(document, set())
        return loader.construct_document(document)
    # A ValueError is an impossible date, such as 2024-13-01.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidYaml(str(error)) from None


def _check(node: Node, seen: set[int]) -> None:
    """Check every node once: an alias may lead back."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, ScalarNode):
        node.value = _joined(node)
    elif isinstance(node, SequenceNode):
        for one in node.value:
            _check(one, seen)
    elif isinstance(node, MappingNode):
        keys: set[tuple[str, str]] = set()
        for key, value in node.value:
            _check(key, seen)
            _check(value, seen)
            if not isinstance(key, ScalarNode) or key.tag == _MERGE:
                continue
            if (key.tag, key.value) in keys:
                raise ConstructorError(
                    problem=f"the key {key.value!r} is there twice", problem_mark=key.start_mark
                )
            keys.add((key.tag, key.value))


def _joined(node: ScalarNode) -> str:
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
