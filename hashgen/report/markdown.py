"""Text from outside in Markdown: it shows as it is, and makes no link, heading, cell or HTML."""

import re

import jinja2


class Markdown(str):
    """Text that is Markdown already, which `escape` leaves alone."""

    __slots__ = ()


_BLANKS = re.compile(r"[^\S\N{NO-BREAK SPACE}]+")
# CommonMark's and GitHub's signs. An underscore within a word is none, and `~` may stand in an address.
_SIGN = re.compile(r"[\\`*\[\]<>|$]|(?<!/)~|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")
# Where a line begins: a heading, a list, a line under a heading.
_START = re.compile(r"^( ?(?:\d{1,9})?)((?<!\d)[#+-](?!\d)|(?<!\d)=|(?<=\d)[.)](?!\d))")
# Of plain addresses, those of the web may stay.
_SCHEME = re.compile(r"(?<![a-z\d+.-])(?!https?:)([a-z][a-z\d+.-]*):(?=\S)", re.IGNORECASE)


def escape(value: object) -> object:
    """What a template shows of a value: text with a backslash before each sign, on one line; numbers as they are."""
    if isinstance(value, Markdown | int | float | jinja2.Undefined):
        return value
    text = _SIGN.sub(r"\\\g<0>", _BLANKS.sub(" ", str(value)))
    return Markdown(_SCHEME.sub(r"\1\\:", _START.sub(r"\1\\\2", text)))


def code(text: str) -> Markdown:
    """Text as code, in which no sign counts."""
    text = " ".join(text.split())
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    blank = "" if text.strip("`") == text != "" else " "
    return Markdown(f"{fence}{blank}{text}{blank}{fence}")


def cell(markdown: Markdown) -> Markdown:
    """Code for a cell of a table, where a bar would end the cell, in code too, but for a backslash before it."""
    return Markdown(re.sub(r"\\*\|", r"\\|", markdown))
