"""Label a post within datatrove. A module of its own: tasks pickle the functions of a script."""

import asyncio
import json

from datatrove.pipeline.inference.run_inference import InferenceError
from datatrove.pipeline.inference.servers.base import ServerError


async def label(document, generate):
    """Ask the server about one post until it answers, for the runner does not after an HTTP 500."""
    messages = [
        {"role": "system", "content": "Is the post civic?"},
        {"role": "user", "content": json.dumps({"post": document.text})},
    ]
    while True:
        try:
            result = await generate({"messages": messages, "temperature": 0, "max_tokens": 100})
        except (InferenceError, ServerError) as error:
            await asyncio.sleep(1.0 if "429" in str(error) else 0.0)
        else:
            return {"civic": json.loads(result.text)["civic"]}


def as_answer(writer, document):
    """Return the row to write."""
    return {"uri": document.id, **document.metadata["rollout_results"][0]}
