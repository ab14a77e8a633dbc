"""A key does not show in what others say, in whatever form they say it."""

import base64
import html
import json
import quopri
import re
import string
import sys
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.config.redaction import Redaction
from pipeline.terminal import clean

KEY = "sk-Ab3/9+xY=_z.Q7'k"
# As in HTTP headers: printable ASCII without blanks. What begins an escape sequence in some form is
# left out, since no service hands out such keys.
keys = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\%&<"),
    min_size=8,
    max_size=60,
)
any_keys = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60)
likely_keys = st.text(string.ascii_letters + string.digits + "-_./+=", min_size=8, max_size=60)


def unicode_escapes(text: str, *, upper: bool = False) -> str:
    return "".join(f"\\u{ord(c):04X}" if upper else f"\\u{ord(c):04x}" for c in text)


def wrapped(text: str, between: str) -> str:
    return between.join(text[start : start + 5] for start in range(0, len(text), 5))


def percent(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def utf_7(text: str) -> str:
    return f"+{base64.b64encode(text.encode('utf-16-be')).decode().rstrip('=')}-"


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper case": str.upper,
    "swapped case": str.swapcase,
    "JSON": lambda key: json.dumps(key)[1:-1],
    "JSON in JSON": lambda key: json.dumps(json.dumps(key))[3:-3],
    "escaped slashes": lambda key: key.replace("/", "\\/").replace("+", "\\+"),
    "Unicode escapes": unicode_escapes,
    "Unicode escapes in capitals": lambda key: unicode_escapes(key, upper=True),
    "Unicode escapes in JSON": lambda key: unicode_escapes(key).replace("\\", "\\\\"),
    "some Unicode escapes": lambda key: key[:3] + unicode_escapes(key[3:6]) + key[6:],
    "JavaScript": lambda key: "".join(f"\\u{{{ord(c):x}}}" for c in key),
    "hexadecimal escapes": lambda key: "".join(f"\\x{ord(c):02x}" for c in key),
    "octal escapes": lambda key: "".join(f"\\{ord(c):03o}" for c in key),
    "URL": lambda key: quote(key, safe=""),
    "a form": quote_plus,
    "URL in lower case": percent,
    "URL in a URL": lambda key: quote(quote(key, safe=""), safe=""),
    "HTML": html.escape,
    "HTML in HTML": lambda key: html.escape(html.escape(key)),
    "decimal entities": lambda key: "".join(f"&#{ord(c)};" for c in key),
    "hexadecimal entities": lambda key: "".join(f"&#x{ord(c):X};" for c in key),
    "HTML in JSON": lambda key: json.dumps(html.escape(key))[1:-1],
    "lines": lambda key: wrapped(key, "\n"),
    "indented lines": lambda key: wrapped(key, "\r\n    "),
    "lines in JSON": lambda key: wrapped(key, "\\n"),
    "lines of HTML": lambda key: wrapped(key, "<br/>"),
    "letter-spaced": " ".join,
    "invisible characters": "\u200b".join,
    "invisible characters in JSON": lambda key: json.dumps("\u200b".join(key))[1:-1],
    "invisible characters in HTML": "&#8203;".join,
    "zeros": "\0".join,
    "escape sequences": lambda key: wrapped(key, "\x1b[0m"),
    "escape sequences in JSON": lambda key: json.dumps(wrapped(key, "\x1b[1;31m"))[1:-1],
    "titles of a terminal": lambda key: wrapped(key, "\x1b]0;a title\x07"),
    "escape characters": "\x1b".join,
    "escape characters in JSON": lambda key: json.dumps("\x1b".join(key))[1:-1],
    "Unicode escapes of eight digits": lambda key: "".join(f"\\U{ord(c):08x}" for c in key),
    "Base64": lambda key: base64.b64encode(key.encode()).decode(),
    "Base64 for URLs": lambda key: base64.urlsafe_b64encode(key.encode()).decode(),
    "Base64 without padding": lambda key: base64.b64encode(key.encode()).decode().rstrip("="),
    "Base64 after 1 byte": lambda key: base64.b64encode(f":{key}".encode()).decode(),
    "Base64 after 2 bytes": lambda key: base64.urlsafe_b64encode(f"x:{key}|".encode()).decode(),
    "Base64 of a header": lambda key: base64.b64encode(f"Bearer {key}, ".encode()).decode(),
    "Base64 in lines": lambda key: wrapped(base64.b64encode(key.encode()).decode(), "\n"),
    "Base64 in a URL": lambda key: quote(base64.b64encode(key.encode()).decode(), safe=""),
    "Base64 in JSON": lambda key: base64.b64encode(key.encode()).decode().replace("/", "\\/"),
    "hexadecimal": lambda key: key.encode().hex(),
    "hexadecimal in capitals": lambda key: key.encode().hex().upper(),
    "hexadecimal with colons": lambda key: key.encode().hex(":"),
    "hexadecimal with blanks": lambda key: key.encode().hex(" "),
    "hexadecimal numbers": lambda key: ", ".join(f"0x{ord(c):02x}" for c in key),
    "lines of quoted-printable": lambda key: wrapped(key, "=\r\n"),
    "quoted-printable": lambda key: quopri.encodestring(key.encode()).decode(),
    "escapes of quoted-printable": lambda key: "".join(f"={ord(c):02X}" for c in key),
    "escapes of JavaScript": lambda key: "".join(f"%u{ord(c):04x}" for c in key),
    "tags": lambda key: wrapped(key, "<b></b>"),
    "a tag for each character": lambda key: "".join(f'<span class="x">{c}</span>' for c in key),
    "escaped tags": lambda key: wrapped(key, "&lt;i&gt;"),
    "comments": lambda key: wrapped(key, "<!-- a > b -->"),
    "CDATA": lambda key: wrapped(key, "]]><![CDATA["),
    "accents": "\u0301".join,
    "full width": lambda key: "".join(chr(ord(c) + 0xFEE0) for c in key),
    "decimal numbers with blanks": lambda key: " ".join(str(ord(c)) for c in key),
    "decimal numbers in tags": lambda key: "".join(f"<td>{ord(c)}</td>" for c in key),
    "hexadecimal numbers in quotes": lambda key: json.dumps([hex(ord(c)) for c in key])[1:-1],
    "octal numbers": lambda key: ";".join(f"{ord(c):o}" for c in key),
    "binary numbers": lambda key: " ".join(f"{ord(c):08b}" for c in key),
    "Base32": lambda key: base64.b32encode(key.encode()).decode(),
    "Base85": lambda key: base64.b85encode(key.encode()).decode(),
    "Base64 of Base64": lambda key: packed(packed(key)),
    "Base64 of Base64 of a header": lambda key: packed(packed(f"Bearer {key}, ")),
    "Base64 of hexadecimal": lambda key: packed(key.encode().hex()),
    "Base64 of UTF-16": lambda key: base64.b64encode(key.encode("utf-16-le")).decode(),
    "UTF-7": lambda key: "".join(utf_7(c) for c in key),
    "UTF-7 of what is no letter": lambda key: re.sub(r"[^A-Za-z0-9]+", lambda m: utf_7(m[0]), key),
    "decimal numbers": lambda key: json.dumps([*key.encode()])[1:-1],
}

# Forms with quotes and commas, which are left out of the text if they are no part of the key.
LISTS: dict[str, Callable[[str], str]] = {
    "a list of characters": lambda key: json.dumps([*key])[1:-1],
    "a list of escaped characters": lambda key: ", ".join(f"'\\x{ord(c):02x}'" for c in key),
}


@settings(max_examples=40)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@given(key=keys | likely_keys, before=st.sampled_from(["", "key=", '"Authorization": "Bearer ']))
def test_a_key_is_taken_out_in_every_form(
    form: Callable[[str], str], key: str, before: str
) -> None:
    check(form, key, before)


@settings(max_examples=40)
@pytest.mark.parametrize("form", LISTS.values(), ids=LISTS)
@given(key=likely_keys, before=st.sampled_from(["", "key="]))
def test_a_key_is_taken_out_of_a_list(form: Callable[[str], str], key: str, before: str) -> None:
    check(form, key, before)


def check(form: Callable[[str], str], key: str, before: str) -> None:
    redact = Redaction(key)
    assume(redact(before) == before)  # the key AUTHORIZ is in the header's name
    written = form(key)
    shown = redact(f"{before}{written} is wrong")
    assert "[key]" in shown
    assert shown.startswith(before)
    assert shown.endswith(" is wrong")
    # Beside a form of Base64, one character can be left that holds a few bits; and tags.
    assert len(shown) <= len(f"{before}[key] is wrong") + 32
    middle = written[len(written) // 4 : -len(written) // 4]
    assert middle not in shown.removeprefix(before)


@given(any_keys, st.text(max_size=20), st.text(max_size=20))
def test_any_key_is_taken_out_as_it_is(key: str, before: str, after: str) -> None:
    assert key not in Redaction(key)(f"{before}{key}{after}").replace("[key]", " ")


@given(keys | likely_keys, st.text(max_size=200))
def test_a_text_without_the_key_stays_as_it_is(key: str, text: str) -> None:
    shown = Redaction(key)(text)
    assert shown == text or len(text) >= 8


def test_no_character_that_screens_leave_out_hides_a_key() -> None:
    """The key would show, because a screen puts it together again."""
    left_out = [chr(code) for code in range(sys.maxunicode + 1) if not clean(f"{chr(code)}x")[1:]]
    assert len(left_out) > 200
    redact = Redaction(KEY)
    for character in left_out:
        shown = redact(f"{KEY[:9]}{character}{KEY[9:]}")
        assert shown == "[key]", hex(ord(character))


def test_the_text_around_several_keys_stays() -> None:
    end = "end \\n \\u00e9 &amp; <br>"
    text = f"a {KEY} b {KEY.upper()}\n{percent(KEY)}, {wrapped(KEY, ' ')} {end}"
    assert Redaction(KEY)(text) == f"a [key] b [key]\n[key], [key] {end}"


def test_a_long_text_takes_linear_time() -> None:
    """Patterns that begin anew at each character would take hours."""
    for piece in (
        "s",
        "s ",
        "\\",
        "&amp;",
        "%25",
        "<br",
        "0x73,",
        "115,",
        "&#0",
        "<",
        "<!--",
        "=7",
        "+A",
        "<b>",
    ):
        Redaction(KEY)(piece * ((1 << 18) // len(piece)))
