"""Build the body of a request to the Perspective API."""

from collections.abc import Sequence

from pipeline.classifiers.perspective.options import PerspectiveOptions
from pipeline.model import JsonObject, Post


def build_request(
    options: PerspectiveOptions, post: Post, attributes: Sequence[str] | None = None
) -> JsonObject:
    """Return the request about one post.

    Args:
        options: the classifier's options.
        post: the post. Its uri comes back with the scores, so that they can be joined.
        attributes: those to request; None for all that are configured.
    """
    names = options.attributes if attributes is None else attributes
    return {
        "comment": {"text": post.text},
        "requestedAttributes": {name: {} for name in names},
        "languages": list(options.languages),
        "doNotStore": True,
        "clientToken": post.uri,
        **({"spanAnnotations": True} if options.span_scores else {}),
    }
