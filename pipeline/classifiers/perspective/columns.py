"""Name the columns of the Perspective API's scores: the lab's own, and a few beside them."""

from collections.abc import Sequence

from pipeline.model import Column, ColumnKind

# The lab's column for each attribute.
ATTRIBUTES = {
    "TOXICITY": "prob_toxic",
    "SEVERE_TOXICITY": "prob_severe_toxic",
    "IDENTITY_ATTACK": "prob_identity_attack",
    "INSULT": "prob_insult",
    "PROFANITY": "prob_profanity",
    "THREAT": "prob_threat",
    "AFFINITY_EXPERIMENTAL": "prob_affinity",
    "COMPASSION_EXPERIMENTAL": "prob_compassion",
    "CURIOSITY_EXPERIMENTAL": "prob_curiosity",
    "NUANCE_EXPERIMENTAL": "prob_nuance",
    "PERSONAL_STORY_EXPERIMENTAL": "prob_personal_story",
    "REASONING_EXPERIMENTAL": "prob_reasoning",
    "RESPECT_EXPERIMENTAL": "prob_respect",
    "ALIENATION_EXPERIMENTAL": "prob_alienation",
    "FEARMONGERING_EXPERIMENTAL": "prob_fearmongering",
    "GENERALIZATION_EXPERIMENTAL": "prob_generalization",
    "MORAL_OUTRAGE_EXPERIMENTAL": "prob_moral_outrage",
    "SCAPEGOATING_EXPERIMENTAL": "prob_scapegoating",
    "SEXUALLY_EXPLICIT": "prob_sexually_explicit",
    "FLIRTATION": "prob_flirtation",
    "SPAM": "prob_spam",
}

# Holds the attributes that the service does not have in the language of the post, or at all.
DROPPED = "attributes_not_supported"


def spans_column(attribute: str) -> str:
    """Return the column of an attribute's scores of parts of the text."""
    return f"{ATTRIBUTES[attribute]}_spans"


def columns(attributes: Sequence[str], *, spans: bool) -> tuple[Column, ...]:
    """Return the columns for these attributes, with `spans` for parts of the text too."""
    return (
        *(Column(ATTRIBUTES[name], ColumnKind.NUMBER) for name in attributes),
        *(Column(spans_column(name), ColumnKind.TEXT) for name in attributes if spans),
        Column(DROPPED, ColumnKind.TEXT, fact=True),
    )
