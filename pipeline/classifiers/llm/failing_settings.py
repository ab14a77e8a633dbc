"""Find the settings at which a server fails, where its error does not say what is wrong.

Some servers answer a field that they cannot read with HTTP 500 instead of 400 (llama-cpp-python),
or do not answer at all. Such a failure looks like an outage. Only a comparison shows the
difference: the same question is answered without the field, and fails again with it.
"""

from collections.abc import Callable, Mapping

from pipeline.classifiers.llm import chat
from pipeline.model import JsonObject

_NEEDED = frozenset({"model", "messages", "prompt", chat.MAX_TOKENS, chat.MAX_COMPLETION_TOKENS})
_SETTINGS: Mapping[str, str] = {
    "temperature": "classifier.temperature",
    "response_format": "classifier.structured_output",
    "structured_outputs": "classifier.structured_output",
    "logprobs": "classifier.scores",
    "top_logprobs": "classifier.scores",
}


def find_failing_settings(
    request: JsonObject, is_answered: Callable[[JsonObject], bool]
) -> tuple[str, ...]:
    """Return the configuration's keys without which a request is answered.

    Args:
        request: a request that has failed for as long as failures are retried.
        is_answered: sends a request once, and returns whether it is answered.

    Returns:
        The key that alone makes the request fail, or else all keys that may; nothing if the request
        fails without them as well, or is answered by now.
    """
    fields_by_setting: dict[str, list[str]] = {}
    for name in request:
        if name not in _NEEDED:
            setting = _SETTINGS.get(name, f"classifier.request.{name}")
            fields_by_setting.setdefault(setting, []).append(name)
    suspects = tuple(fields_by_setting)
    if not suspects or not is_answered(_without(request, fields_by_setting, suspects)):
        return ()
    if is_answered(request):  # an outage that is over
        return ()
    if len(suspects) == 1:
        return suspects
    for setting in suspects:
        if is_answered(_without(request, fields_by_setting, (setting,))):
            return (setting,)
    return suspects


def _without(
    request: JsonObject, fields_by_setting: Mapping[str, list[str]], settings: tuple[str, ...]
) -> JsonObject:
    left_out = {name for setting in settings for name in fields_by_setting[setting]}
    return {name: value for name, value in request.items() if name not in left_out}
