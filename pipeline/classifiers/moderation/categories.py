"""Name the categories of each provider, and the column of each. Pure."""

import re

# As the services name them: OpenAI's omni-moderation models, and mistral-moderation-2603.
PROVIDERS = {
    "openai": (
        "harassment",
        "harassment/threatening",
        "hate",
        "hate/threatening",
        "illicit",
        "illicit/violent",
        "self-harm",
        "self-harm/instructions",
        "self-harm/intent",
        "sexual",
        "sexual/minors",
        "violence",
        "violence/graphic",
    ),
    "mistral": (
        "sexual",
        "hate_and_discrimination",
        "violence_and_threats",
        "dangerous",
        "criminal",
        "selfharm",
        "health",
        "financial",
        "law",
        "pii",
        "jailbreaking",
    ),
}

FLAGGED = "flagged"
MODEL = "moderation_model"
REQUESTS = "moderation_requests"


def column_of(category: str) -> str:
    """Return a category's column, such as `self_harm_intent` for `self-harm/intent`."""
    return re.sub(r"\W+", "_", category.lower(), flags=re.ASCII).strip("_")
