"""YAML, read strictly: what PyYAML takes in silence, and nobody means, is refused with its line."""

from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

_MERGE = "tag:yaml.org,2002:merge"


class InvalidYaml(Exception):
    """The message says what, and in which line."""


def read(text: str) -> Any:
    """The document's values; None where there is none. Raises BadYaml.

    A key that stands twice in one mapping is refused: PyYAML takes the last one, and what a run
    then labels by is not what its reader sees first.
    """
    try:
        loader = yaml.SafeLoader(text)
        document = loader.get_single_node()
        if document is None:
            return None
        _check(document, set())
        return loader.construct_document(document)
    # A ValueError is a date that is none, such as 2024-13-01.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidYaml(str(error)) from None


def _check(node: Node, seen: set[int]) -> None:
    """Every node once: an alias may lead back."""
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
    r"""JSON, which is YAML too, writes an emoji as two halves (\ud83e\udd8b). PyYAML leaves them
    so, and no file can hold them."""
    try:
        joined: str = node.value.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise ConstructorError(
            problem="half a character (\\ud800 to \\udfff)", problem_mark=node.start_mark
        ) from None
    return joined
