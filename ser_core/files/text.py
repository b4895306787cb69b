"""When two texts of a table mean one thing, and how a text of somebody else is shown."""

import re
import unicodedata
from collections.abc import Iterable

_NUMBER = re.compile(r"([+-]?)0*(\d+)(?:\.0*)?")
# What acts on a terminal or on a page: control and format characters, lone surrogates, line and paragraph separators.
_ACTING = ("Cc", "Cs", "Zl", "Zp")
_OVERRIDES = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_NO_VALUE = ("nan", "NaN", "NAN", "<NA>", "NaT", "None")


def key(text: str) -> str:
    r"""Return what is left of a text when its Unicode form, case, blanks, and the format of a number do not count.

    Args:
        text: A label, a name or an id.

    Examples:
        >>> key(" Sad\u00a0") == key("sad"), key("01") == key("1.0"), key("s01") == key("s1")
        (True, True, False)
    """
    text = str(text)
    if not text.isascii():  # which needs no time: ASCII has one form, and no format characters
        text = unicodedata.normalize("NFKC", text)
        # Format characters, such as a zero-width space, are not seen.
        text = "".join(character for character in text if unicodedata.category(character) != "Cf")
    text = unicodedata.normalize("NFC", " ".join(text.split()).casefold())
    if number := _NUMBER.fullmatch(text):
        return number[1].replace("+", "") + number[2]
    return text


def clip_key(text: str) -> str:
    """Return `key` of a clip's id without a leading ``./`` and the ending of a recording.

    Examples:
        >>> clip_key("./c1.wav") == clip_key("c1")
        True
    """
    return key(re.sub(r"\.(wav|flac|mp3|ogg|m4a)$", "", re.sub(r"^(\./)+", "", str(text).strip()), flags=re.IGNORECASE))


def alike(texts: Iterable[str], how=key) -> tuple[str, str] | None:
    """Return the first two texts that differ although they mean one thing, None if there are none.

    Args:
        texts: Labels, names or ids; each may stand several times.
        how: `key` or `clip_key`.

    Examples:
        >>> alike(["sad", "happy", "Sad"])
        ('sad', 'Sad')
    """
    seen: dict[str, str] = {}
    for text in dict.fromkeys(map(str, texts)):
        if (other := seen.setdefault(how(text), text)) != text:
            return other, text
    return None


def no_value(text: str) -> bool:
    """Return whether a text is what libraries write for a missing value, such as ``nan``.

    Examples:
        >>> no_value("nan"), no_value("<NA>"), no_value("NA")
        (True, True, False)
    """
    return str(text).strip() in _NO_VALUE


def acts(text: str) -> bool:
    """Return whether a text holds characters that act on a terminal, such as an escape or a line break."""
    return not str(text).isprintable() and any(map(_acts, str(text)))


def _acts(character: str) -> bool:
    return unicodedata.category(character) in _ACTING or character in _OVERRIDES


def shown(text: str) -> str:
    r"""Return a text on one line and without what acts on a terminal: such characters become escapes.

    Examples:
        >>> print(shown("sad\x1b[2J\n\udcff"))
        sad\x1b[2J\n\udcff
    """
    return "".join(
        character.encode("unicode_escape").decode() if _acts(character) else character for character in str(text)
    )
