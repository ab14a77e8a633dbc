"""Let a number stand for a post's uri, so that many posts are compared in little memory.

The audit holds two rows for each post of a backlog. As texts, the uris of 10 million posts take a
gigabyte, which DuckDB would have to write to the disk, and joining them takes twice as long.
"""


def post_key(uri: str = "uri") -> str:
    """Return SQL for the number of a uri, a UHUGEINT; NULL where the uri is NULL.

    It has 128 bits: among a billion posts, two have the same one with a chance of one in 10^20. The
    second hash is of a text whose blocks are others, so that it does not depend on the first.

    Args:
        uri: SQL for the uri.
    """
    text = f"({uri})::VARCHAR"
    number = f"(hash({text})::UHUGEINT << 64) | hash('#' || {text})"
    return f"CASE WHEN ({uri}) IS NOT NULL THEN {number} END"
