"""Write the JSON Schema of a file, by which editors complete keys and mark mistakes."""

from collections.abc import Mapping
from typing import Any

import msgspec

from pipeline.config.keys import Section, keys_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = "#/$defs/{name}"


def json_schema(
    root: type[Section], variants: Mapping[str, type[Section]], *, at: str = ""
) -> dict[str, Any]:
    """Return the schema of a file.

    Args:
        root: the section that is the whole file.
        variants: the sections that the mapping under the key `at` may be, by its key `type`.
        at: a key of `root`, '' where there are no variants.
    """
    sections = [root, *variants.values()]
    _, parts = msgspec.json.schema_components(
        sections,
        schema_hook=lambda kind: {"description": "any value"},
        ref_template=_REFERENCE,
    )
    for section in sections:
        for name, key in keys_of(section).items():
            if key.facts.recorded:
                parts[section.__name__]["properties"].pop(name)
    for part in parts.values():
        _plain(part)
    for kind, section in variants.items():
        part = parts[section.__name__]
        part["properties"] = {"type": {"const": kind}, **part["properties"]}
        part["required"] = ["type", *part.get("required", [])]
    document = parts.pop(root.__name__)
    if at:
        document["properties"][at] = {
            "description": document["properties"][at]["description"],
            "oneOf": [
                {"$ref": _REFERENCE.format(name=variant.__name__)} for variant in variants.values()
            ],
        }
    return {"$schema": DIALECT, **document, "$defs": dict(sorted(parts.items()))}


def _plain(part: dict[str, Any]) -> None:
    """Take line breaks out of descriptions, and the defaults of whole sections."""
    if "description" in part:
        part["description"] = " ".join(part["description"].split())
    for schema in part.get("properties", {}).values():
        if isinstance(schema.get("default"), dict) and schema["default"]:
            del schema["default"]
