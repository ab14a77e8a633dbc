"""The ways to bind a server's answers to a JSON schema."""

from pipeline.model import JsonObject

MODES = ("json_schema", "json_object", "none")
UNBOUND = MODES[-1]


def constraint(mode: str, schema: JsonObject) -> JsonObject:
    """What a request says beside its messages, so that the answer is of `schema`."""
    match mode:
        case "json_schema":
            named = {"name": "labels", "strict": True, "schema": schema}
            return {"response_format": {"type": "json_schema", "json_schema": named}}
        case "json_object":
            return {"response_format": {"type": "json_object", "schema": schema}}
        case _:
            return {}
