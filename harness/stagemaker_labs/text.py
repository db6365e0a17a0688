"""Text that is safe to show: without control sequences, cut to a length, and in ASCII where that is asked."""

from __future__ import annotations

import math
import os
import re
import unicodedata

ASCII_VARIABLE = "STAGEMAKER_ASCII"
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
"""Terminal control sequences: what a program prints must not move the cursor or set the title of the verdict's."""

PLAIN = {
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{NOT EQUAL TO}": "!=",
    "\N{RIGHTWARDS ARROW}": "->",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{EURO SIGN}": "EUR",
    "\N{BULLET}": "*",
}
"""What NFKD does not take apart into ASCII."""


def clean(text: str) -> str:
    """`text` without control sequences and control characters; tabs become four spaces, line ends stay."""
    text = ESCAPES.sub("", text).replace("\r\n", "\n").replace("\t", "    ")
    return "".join(_visible(character) for character in text)


def one_line(text: str, limit: int = 400) -> str:
    """`text` cleaned, on one line, and cut with an ellipsis after `limit` characters."""
    # Cleaning goes character by character: of a message of megabytes only the beginning is looked at.
    beginning = text[: 8 * limit]
    line = " ".join(clean(beginning).split())
    is_whole = len(beginning) == len(text) and len(line) <= limit
    return line if is_whole else line[: limit - 1] + "…"


def ascii_only(text: str) -> str:
    """`text` in ASCII: known signs by their plain form, letters without their accents, the rest escaped."""
    plain = "".join(PLAIN.get(character) or _frame(character) for character in text)
    bare = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    return bare.encode("ascii", "backslashreplace").decode("ascii")


def wants_ascii(encoding: str | None) -> bool:
    """Whether to write ASCII only: the user says so, or the stream cannot carry more."""
    asked = os.environ.get(ASCII_VARIABLE, "")
    if asked:
        return asked != "0"
    return (encoding or "").lower().replace("-", "") not in {"utf8", "utf8sig", "utf16", "utf32"}


def plural(count: int, noun: str, nouns: str = "") -> str:
    """`1 file`, `2 files`; `nouns` where the plural is not the singular with an s."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def duration(seconds: float) -> str:
    """`0.4 s`, `11 s`, `2 min 5 s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 10) / 10:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


def _frame(character: str) -> str:
    """The lines of boxes and tables by what they look like, other characters as they are."""
    if not "\u2500" <= character <= "\u259f":
        return character
    name = unicodedata.name(character)
    if name.endswith("HORIZONTAL"):
        return "-"
    return "|" if name.endswith("VERTICAL") or "BLOCK" in name else "+"


def _visible(character: str) -> str:
    if character == "\n" or not unicodedata.category(character).startswith("C"):
        return character
    # Category C holds the controls and also the bidirectional overrides, which could make a line read backwards.
    return "" if character == "\r" else "\N{REPLACEMENT CHARACTER}"
