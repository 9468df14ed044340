"""What people write under a picture: emoji, hashtags, and the caption that is left to learn from.

Pure functions on text. Every pattern is linear in the length of the text or nearly so: repeats are possessive
and start only where a run of their characters starts.
"""

import functools
import html
import unicodedata
from collections.abc import Iterable

import regex

# Unicode UTS #51. Signs that are text by default (a heart, a tick) count with or without variation selector 16,
# since phones draw both in colour; ©, ® and ™ only with it; digits, # and * only as keycaps.
_PICTOGRAPH = r"[\p{Emoji}&&[\p{Extended_Pictographic}\p{Emoji_Presentation}]]"
_EMOJI = regex.compile(
    rf"(?V1)(?:[{_PICTOGRAPH}--[©®™]](?!\uFE0E)|[©®™]\uFE0F|[0-9#*]\uFE0F?+\u20E3)"
    r"(?:\u200D\p{Extended_Pictographic}|[\uFE0F\u20E3\p{Emoji_Modifier}\U000E0020-\U000E007F])*+"
)

# "&amp;#39;" is "&#39;" escaped twice: what counts is the last name.
_ENTITY = regex.compile(r"&(?:(?:amp|#0*38|#[xX]0*26);)*((?:#\d{1,7}|#[xX][\da-fA-F]{1,6}|[a-zA-Z]{2,8});)")
# Before NFKC, which would turn ™ into TM and a free-standing accent into a blank and a mark.
_SIGNS = str.maketrans(dict.fromkeys("™©®℠") | {"´": "'"})
_ASCII = str.maketrans(
    dict.fromkeys("‘’‚‛′‹›ʼʻ", "'")
    | dict.fromkeys("“”„‟″«»", '"')
    | dict.fromkeys("‐‑‒–—―−⁃", "-")
    | dict.fromkeys("\r\v\f\x1c\x1d\x1e\x85\u2028\u2029", "\n")
    | dict.fromkeys("\t\x1f\u1680\u2800\u115f\u1160\u3164\uffa0", " ")
    | {"…": "...", "İ": "I", "⁄": "/"}
)
_INVISIBLE = regex.compile(r"(?V1)[[\p{C}--\n]\p{Default_Ignorable_Code_Point}]+")
_BLANKS = regex.compile(r"  +")

_URL_END = r"""[^\s<>"]*[^\s<>".,!?;:)\]']"""
_DOMAIN = r"(?<![\w.@-])(?:[a-z\d-]++\.)+"
_ADDRESS = regex.compile(
    r"(?<![\w.+-])[\w.+-]++@[\w-]++(?:\.[\w-]++)++"
    rf"|(?:https?:/+|(?<!\w)www\.){_URL_END}"
    rf"|{_DOMAIN}(?:com|net|org|info|co\.uk)\b(?:/{_URL_END}|/)?"
    rf"|{_DOMAIN}[a-z]{{2,10}}/{_URL_END}",
    regex.IGNORECASE,
)

# Most captions hold no address, and this is quick to see.
_MAY_HOLD_ADDRESS = regex.compile(r"[\w-]\.[\w-]|://")

_TAG = r"#++(?=[\p{Nd}\p{M}_]*+\p{L})(?!\p{M})[\p{L}\p{M}\p{Nd}_]++"
_HASHTAG = regex.compile(_TAG)
_WHOLE_HASHTAG = regex.compile(r"(?=.*\p{L})(?!\p{M})[\p{L}\p{M}\p{Nd}_]++")

_MENTION = r"@\w++(?:\.++\w++)*+"
_MENTIONS = rf"{_MENTION}(?:[\s,&+/|]*+(?:(?:and|x|with|from|by|via)\s++)?+{_MENTION})*+"
_AFTER_TAG = regex.compile(rf"({_TAG})(?=@)")
_FOLLOW = regex.compile(
    r"(?:\b(?:please|pls|plz|and|also|go|like|&|don't forget to|(?:make|be) sure (?:to|you))\s++)*+\bfollow(?:"
    rf"(?:\s++(?:us|me|my|our|the|page|account|on|at|over|instagram|ig|insta)\b)*+[\s:>=-]*+{_MENTIONS}"
    r"(?:\s++for\s[^\n.!?#|@]{1,60})?+"
    r"|(?:\s++(?:us|me|my page|our page|this page|along))?+\s++for\s++(?:more|daily)\b[^\n.!?#|@]{0,60})[.!]*+"
    r"|(?:^|(?<=[\n.!?|])|(?<=[\n.!?|] ))follow\s++(?:us|me)(?:\s++on\s++\w++)?+[ .!]*+(?=$|[\n#|])",
    regex.IGNORECASE,
)
_CREDIT = regex.compile(
    r"(?:#?+\b(?:photo(?:s|graph|graphy|grapher)?|pics?|pictures?|images?|videos?|vid|shot|captured|taken|words|recipe"
    r"|art|artwork|design|edit(?:ed)?|styled|hair|makeup|mua|model|repost(?:ed|ing)?|regram(?:med)?|credits?|cred)"
    r"(?:\s++(?:credits?|cred|courtesy(?:\s++of)?|by|from|to|via)\b|\s*+[:=|>-])++"
    r"|#?+\b(?:repost(?:ed|ing)?|regram(?:med)?|credits?|courtesy of|via|by|cc|pc|ph|ig|h/t)\b[\s:=|>-]*+"
    rf"|[📷📸🎥📹]\uFE0F?+(?:\s*+by\b)?[\s:=|>-]*+)\s*+{_MENTIONS}(?:\s*+\|)?",
    regex.IGNORECASE,
)
_MENTION_ALONE = regex.compile(rf"(?<!\w){_MENTION}(?:'s\b)?")

# What layout is made of: dot lines, bullets, bars, arrows. Quotes, brackets, ! and ? end sentences or make faces.
_LAYOUT = r".·•∙⋅‧・●○◦▪▫■□◆◇★☆~|/\\*+=<>,:;°↓↑→←_\-"
_BETWEEN = rf"(?:[,;|/&+•·\p{{Extended_Pictographic}}]*+(?:\s[\s&{_LAYOUT}\p{{Extended_Pictographic}}]*+)?+)"
_RUN = regex.compile(rf"{_TAG}(?:{_BETWEEN}{_TAG})*+")
_TAG_LINE = regex.compile(rf"[\s{_LAYOUT}\p{{Extended_Pictographic}}]*+(?:{_TAG}{_BETWEEN})++[\s{_LAYOUT}]*+")
_LAYOUT_LINE = regex.compile(rf"[\s{_LAYOUT}]*+")
_LAYOUT_WORD = regex.compile(rf"[{_LAYOUT}]++")
_REST = regex.compile(rf"[\s!?&{_LAYOUT}\p{{Extended_Pictographic}}]*+")
_BRACKETS = regex.compile(r"(?<!\()\(++\)++|(?<!\[)\[++\]++|(?<!\S)[()\[\]]++(?!\S)")
_LOOSE_PUNCTUATION = regex.compile(r"\s++([,;.!?]++)(?!\S)")
_DOUBLE_PUNCTUATION = regex.compile(r"([,;.!?])(?:\s++[,;.!?]++(?!\S))++")
_LETTER = regex.compile(r"\p{L}")


def has_emoji(text: str) -> bool:
    """Whether a raw text, before any normalising, holds an emoji in the sense of Unicode UTS #51.

    Text-default pictographs (❤ ✔), keycaps and flags count; whatever variation selector 15 makes text, bare
    © ® ™, digits and signs that are no emoji (★ ♡ →), and faces typed with letters and punctuation do not.
    """
    return _EMOJI.search(_unescape(text)) is not None


def strip_emoji(text: str) -> str:
    """A raw text with a blank in place of each emoji, so that a hashtag ends there."""
    stripped: str = _EMOJI.sub(" ", _unescape(text))
    return stripped


def normalise(text: str) -> str:
    """One form for what looks alike: NFKC; quotes, dashes, ellipsis and line ends in ASCII; no invisible characters.

    HTML entities are resolved, ™ © ® go, dotted İ becomes I, odd and invisible spaces become blanks.
    """
    text = _unescape(text)
    if text.isascii() and text.isprintable():
        return text if "`" not in text and "  " not in text else _BLANKS.sub(" ", text.replace("`", "'"))
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_SIGNS))
    text = text.replace("\r\n", "\n").replace("`", "'").translate(_ASCII)
    normalised: str = _BLANKS.sub(" ", _INVISIBLE.sub("", text))
    return normalised


def hashtags_of(text: str) -> list[str]:
    """The hashtags of a text: lower case, without `#`, each once, in the order in which they first stand.

    A hashtag is `#` (or ＃) and letters, marks, digits and `_` with at least one letter; glued ones each count.
    E-mails and URLs hold none.
    """
    if "#" not in text and "＃" not in text and "﹟" not in text and "&" not in text:
        return []
    found = _HASHTAG.findall(_plain(text).lower())
    return list(dict.fromkeys(tag.lstrip("#") for tag in found))


def normalise_hashtags(values: Iterable[str]) -> list[str]:
    """Hashtags that a source gives apart from the text, in the form of `hashtags_of`: "#Food", "food" and " Food ".

    A value may hold several ("#a #b"). What is no valid hashtag is left out.
    """
    found: dict[str, None] = {}
    for value in values:
        plain = normalise(value).lower().strip()
        found |= dict.fromkeys([plain] if _WHOLE_HASHTAG.fullmatch(plain) else hashtags_of(value))
    return list(found)


def clean_caption(text: str) -> str:
    """The caption that goes into a model, on one line; "" if nothing with a letter is left.

    E-mails, URLs, mentions, credits ("Photo by @x |") and calls to follow go. Of the hashtags, the trailing
    block, lines of hashtags only, a leading run of two or more and any run of three or more go; others lose
    `#` and stay as words. Emoji stay (`strip_emoji` first). Idempotent.
    """
    # Cutting one thing can join what stood around it into another (`www.#x.com`): cut until nothing changes.
    while (cleaned := _cut(text)) != text:
        text = cleaned
    return cleaned


def _cut(text: str) -> str:
    text = _plain(text)
    if "@" in text:
        text = _AFTER_TAG.sub(r"\1 ", text)
    if "follow" in text.lower():
        text = _FOLLOW.sub(" ", text)
    if "@" in text:
        text = _MENTION_ALONE.sub(" ", _CREDIT.sub(" ", text))
    if "#" in text:
        text = _without_hashtags(text)
    text = "\n".join(line for line in text.split("\n") if not _LAYOUT_LINE.fullmatch(line))
    words = _BRACKETS.sub(" ", text).split()
    start, stop = 0, len(words)
    while start < stop and _LAYOUT_WORD.fullmatch(words[start]):
        start += 1
    while stop > start and _LAYOUT_WORD.fullmatch(words[stop - 1]):
        stop -= 1
    text = _DOUBLE_PUNCTUATION.sub(r"\1", " ".join(words[start:stop]))
    text = _LOOSE_PUNCTUATION.sub(r"\1", text)
    return text if _LETTER.search(text) else ""


def _without_hashtags(text: str) -> str:
    text = "\n".join(line for line in text.split("\n") if not ("#" in line and _TAG_LINE.fullmatch(line)))
    kept: list[str] = []
    position = 0
    for run in _RUN.finditer(text):
        kept.append(text[position : run.start()])
        tags = _HASHTAG.findall(run.group())
        ends_sentence = len(tags) == 1 and _ends_sentence(text, run.start(), run.end())
        if _REST.fullmatch(text, run.end()) and not ends_sentence:
            return "".join(kept)
        is_leading = _LAYOUT_LINE.fullmatch(text, 0, run.start())
        is_cut = len(tags) >= 3 or (len(tags) == 2 and is_leading)
        kept.append(" " if is_cut else _HASHTAG.sub(lambda tag: tag.group().lstrip("#"), run.group()))
        position = run.end()
    kept.append(text[position:])
    return "".join(kept)


def _ends_sentence(text: str, start: int, end: int) -> bool:
    """Whether the single hashtag at `start:end` is a sentence's last word: "I love my #dog!"."""
    before = text[:start].rstrip(" ")[-1:]
    return text[end : end + 1] in (".", "!", "?") and (before.isalnum() or before == ",")


# Hashtags and caption of a text are asked for one after the other.
@functools.lru_cache(maxsize=4)
def _plain(text: str) -> str:
    """A text in normal form without e-mails and URLs."""
    text = normalise(text)
    if not _MAY_HOLD_ADDRESS.search(text):
        return text
    plain: str = _ADDRESS.sub(" ", text)
    return plain


def _unescape(text: str) -> str:
    if "&" not in text:
        return text
    unescaped: str = _ENTITY.sub(lambda entity: html.unescape(f"&{entity[1]}"), text)
    return unescaped
