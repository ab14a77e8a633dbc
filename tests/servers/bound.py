"""Answer as a server that enforces a JSON schema would: with the schema's first instance."""

from __future__ import annotations

import json
from typing import Any

from .http import Reply
from .openai_stub import completion


def mode_of(body: dict[str, Any]) -> str:
    """Return the output mode that a request asks for, in the configuration's words."""
    if "structured_outputs" in body:
        return "structured_outputs"
    return str(body.get("response_format", {}).get("type", "none"))


def schema_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that a request asks for. Raises ValueError if it asks for none."""
    match mode_of(body):
        case "structured_outputs":
            schema: dict[str, Any] = body["structured_outputs"]["json"]
        case "json_object":
            schema = body["response_format"]["schema"]
        case "json_schema":
            schema = body["response_format"]["json_schema"]["schema"]
        case mode:
            raise ValueError(f"{mode}: the request asks for no schema")
    return schema


def instance(schema: dict[str, Any]) -> Any:
    """Return the first value that a schema allows."""
    if "anyOf" in schema:
        return instance(schema["anyOf"][0])
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "object":
        return {name: instance(value) for name, value in schema["properties"].items()}
    return {"boolean": True, "number": schema.get("minimum", 0), "string": ""}[schema["type"]]


def bound(body: dict[str, Any]) -> Reply:
    """Answer as a server that enforces the mode that the request asks for."""
    return completion(json.dumps(instance(schema_of(body))))
