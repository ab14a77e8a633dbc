"""What a server that binds its model would let it say: the first instance of a JSON schema."""

from __future__ import annotations

import json
from typing import Any

from .http import Reply
from .openai_stub import completion


def mode_of(body: dict[str, Any]) -> str:
    """By which way a request asks to be bound, in the configuration's words."""
    if "structured_outputs" in body:
        return "structured_outputs"
    return str(body.get("response_format", {}).get("type", "none"))


def schema_of(body: dict[str, Any]) -> dict[str, Any]:
    match mode_of(body):
        case "structured_outputs":
            schema: dict[str, Any] = body["structured_outputs"]["json"]
        case "json_object":
            schema = body["response_format"]["schema"]
        case "json_schema":
            schema = body["response_format"]["json_schema"]["schema"]
        case none:
            raise ValueError(f"{none}: the request asks for no schema")
    return schema


def instance(schema: dict[str, Any]) -> Any:
    if "anyOf" in schema:
        return instance(schema["anyOf"][0])
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "object":
        return {name: instance(one) for name, one in schema["properties"].items()}
    return {"boolean": True, "number": schema.get("minimum", 0), "string": ""}[schema["type"]]


def bound(body: dict[str, Any]) -> Reply:
    """The answer of a server that honours the way that the request asks for."""
    return completion(json.dumps(instance(schema_of(body))))
