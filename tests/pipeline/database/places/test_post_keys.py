"""A number stands for each uri, in whatever form a file has its uris."""

import duckdb
import pyarrow as pa

from pipeline.database.places.post_keys import post_key


def test_equal_uris_have_equal_numbers_and_others_have_others() -> None:
    uris = pa.array(["at://a/1", "at://a/2", "", None, "at://a/1"])
    forms = {
        "plain": uris,
        "dictionary": uris.dictionary_encode(),
        "large": uris.cast("large_string"),
    }
    numbers = {}
    with duckdb.connect() as connection:
        for name, array in forms.items():
            connection.register("posts", pa.table({"uri": array}))
            rows = connection.execute(f"SELECT {post_key()} FROM posts").fetchall()
            numbers[name] = [row[0] for row in rows]
    assert numbers["dictionary"] == numbers["large"] == numbers["plain"]
    first, second, empty, missing, again = numbers["plain"]
    assert (again, missing) == (first, None)
    assert len({first, second, empty}) == 3
    # The halves are of different hashes: a uri is not told from another by 64 bits alone.
    assert all(number >> 64 != number % 2**64 for number in (first, second, empty))
