"""List how a key reads once it is packed: in Base64 and its kin, or as a list of numbers.

A packed key is found as a text of its own, without unpacking whatever may be packed. What stands
beside the key in the same packing may change its first and last characters, so only those in
between are looked for.
"""

import base64
from collections.abc import Iterator

_NUMBERS = ("{:d}", "{:03d}", "{:x}", "0x{:x}", "0x{:02x}", "{:o}", "0o{:o}", "{:08b}", "0b{:b}")
_TO_URL = str.maketrans("+/", "-_")


def in_base64(key: bytes) -> Iterator[str]:
    """Yield what is certain of a key in Base64, after 0, 1 and 2 other bytes."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + key).decode()
        yield encoded[(0, 2, 3)[before] : 8 * (before + len(key)) // 6]


def in_base32(key: bytes) -> Iterator[str]:
    """Yield what is certain of a key in Base32, after 0 to 4 other bytes."""
    for before in range(5):
        encoded = base64.b32encode(b"\0" * before + key).decode()
        yield encoded[-(-8 * before // 5) : 8 * (before + len(key)) // 5]


def in_base85(key: bytes) -> Iterator[str]:
    """Yield a key in the two common forms of Base85, whole and after 0 to 3 other bytes.

    A group of five characters holds four bytes, so of the groups at its ends nothing is certain.
    """
    for encode in (base64.b85encode, base64.a85encode):
        yield encode(key).decode()
        for skipped in range(4):
            whole = (len(key) - skipped) // 4 * 4
            yield encode(key[skipped : skipped + whole]).decode()


def packed_twice(key: bytes) -> Iterator[str]:
    """Yield a key in Base64, Base32 or hexadecimal, and that in Base64 or hexadecimal again.

    Of UTF-16, which UTF-7 and PowerShell pack, it yields Base64.
    """
    once = [*in_base64(key), key.hex(), key.hex().upper(), *in_base32(key)]
    once += [text.translate(_TO_URL) for text in in_base64(key)]
    for text in dict.fromkeys(once):
        yield from in_base64(text.encode())
        yield text.encode().hex()
    for encoding in ("utf-16-be", "utf-16-le"):
        yield from in_base64(key.decode().encode(encoding))


def as_numbers(key: bytes) -> Iterator[str]:
    """Yield the codes of a key's characters in several notations, with commas between them."""
    for notation in _NUMBERS:
        yield ",".join(map(notation.format, key))
