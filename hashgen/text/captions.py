"""What people write under a picture: emoji, hashtags, and the caption that remains for training.

Pure functions on text. Every pattern is linear in the length of the text or nearly so: repeats are possessive
and start only where a run of their characters starts.
"""

import functools
import html
import re
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
# Before NFKC too, which would turn ™ into TM and a free-standing accent into a blank and a mark. The Hawaiian ʻokina
# is a letter that English and hashtags leave out.
_FOLDED = {
    **dict.fromkeys("™©®℠ʻ", ""),
    **dict.fromkeys("‘’‚‛′‹›ʼ´`", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–—―−⁃¯", "-"),
    **dict.fromkeys("\r\v\f\x1c\x1d\x1e\x85\u2028\u2029", "\n"),
    **dict.fromkeys("\t\x1f\u1680\u2800\u115f\u1160\u3164\uffa0", " "),
    **dict.fromkeys("¨˙", "·"),
    **{"…": "...", "İ": "I", "⁄": "/", "˚": "°", "˜": "~", "¸": ","},
}
_FOLD = str.maketrans(_FOLDED)
_DOTTED_I = regex.compile(r"İ\p{M}*+")
_INVISIBLE = regex.compile(r"(?V1)[[\p{C}--\n]\p{Default_Ignorable_Code_Point}]+")
_BLANKS = regex.compile(r"  +")

# A missing blank after a full stop ("day.Then") is no address: a bare host counts only with an unmistakable end, some
# in lower case only, and more do before what only an address goes on with.
_URL_END = r"""[^\s<>"]*[^\s<>".,!?;:)\]']"""
_DOMAIN = r"(?<![\w.@-])(?:[a-z\d-]++\.)+"
_BARE = r"(?:com(?:\.[a-z]{2})?|net|org|info|biz|edu|gov|co\.[a-z]{2}|(?-i:io|de|fr|nl|uk|eu|tv))"
_OTHER = r"(?-i:ai|app|au|blog|ca|ch|co|dev|ee|es|gl|ly|online|pl|se|shop|site|store)"
_ADDRESS = re.compile(
    r"(?<![\w.+-])[\w.+-]++@[\w-]++(?:\.[\w-]++)++"
    rf"|(?:(?:https?|ftp):/+|(?<!\w)www\.){_URL_END}"
    rf"|{_DOMAIN}{_BARE}\b(?:(?:[/#]|\?(?=\w)){_URL_END}|/)?"
    rf"|{_DOMAIN}(?:[a-z]{{2,10}}(?:/|\?\w++=)|{_OTHER}#){_URL_END}",
    re.IGNORECASE,
)

# Most captions hold no address, and this is quick to see.
_MAY_HOLD_ADDRESS = re.compile(r"[\w-]\.[\w-]|://")

_SIGN = r"(?<!#)#++"
_TAG = rf"{_SIGN}(?=[\p{{Nd}}\p{{M}}_]*+\p{{L}})(?!\p{{M}})[\p{{L}}\p{{M}}\p{{Nd}}_]++"
_NUMBER_TAG = rf"{_SIGN}[\p{{Nd}}_]++(?![\p{{L}}\p{{M}}])"
_HASHTAG = regex.compile(_TAG)
_GLUED_TAG = regex.compile(r"(?<=\w)#++(?=[\p{Nd}\p{M}_]*+\p{L})(?!\p{M})")
_WHOLE_HASHTAG = regex.compile(r"(?=.*\p{L})(?!\p{M})[\p{L}\p{M}\p{Nd}_]++")

_MENTION = r"@\w++(?:\.++\w++)*+"
_MENTIONS = rf"{_MENTION}(?:[\s,&+/|•・]*+(?:(?:and|x|with|from|by|via|using)\s++)?+{_MENTION})*+"
# All that are glued at once: a cut one would leave a mention that stands alone, for the next pass to cut.
_MENTION_ALONE = regex.compile(rf"(?<!\w)(?:{_MENTION}(?:'s\b)?+)++(?:\s++(?:from|by|via|using)\s++{_MENTION})*+")
_AFTER_TAG = regex.compile(rf"({_TAG})(?=@)")

_APP = r"(?:instagram|insta|ig|twitter|facebook|fb|tiktok|youtube|snapchat|pinterest|tumblr)\b"
_ON_APP = rf"\s++(?:over\s++)?+on\s++{_APP}(?:(?:\s++and(?:\s++on)?+\s++|\s*+[,&/+]\s*+){_APP})*+"
_ASKING = (
    r"(?:\b(?:please|pls|plz|and|also|go|like|share|don't forget to|remember to|(?:make|be) sure (?:to|you)"
    r"|for\s++more(?:\s++(?!follow\b)\w++){0,2}+)[\s,:]++|&\s++)"
)
_SENTENCE_START = r"(?:^|(?<=[\n.!?|])|(?<=[\n.!?|] ))"
_FOLLOW = regex.compile(
    rf"{_ASKING}{{0,4}}+\bfollow(?:"
    rf"(?:\s++(?:us|me|my|our|the|page|account|along|on|at|over|and|{_APP})\b)*+"
    rf"[\s:>=\p{{Extended_Pictographic}}\p{{Emoji_Modifier}}-]*+{_MENTIONS}(?:{_ON_APP})?+"
    r"(?:\s++(?:for|to\s++(?:see|get|find))\s[^\n.!?#|@]{1,60})?+"
    r"|(?:\s++(?:us|me|my page|our page|this page|along))?+\s++for\s++(?:more|daily)\b[^\n.!?#|@]{0,60})[.!]*+"
    rf"|(?:{_SENTENCE_START}(?:{_ASKING}{{1,4}}+follow|{_ASKING}{{0,4}}+follow\s++(?:us|me))"
    r"|\b(?:please|don't forget to|remember to|(?:make|be) sure (?:to|you))\s++follow\s++(?:us|me))"
    rf"(?:{_ON_APP}|\s++on\s++\w++)?+(?:\s++(?:please|pls|plz))?+(?:[ .!]*+(?=$|[\n#|])| ?[.!]++)",
    regex.IGNORECASE,
)

_CAMERA = "📷📸🎥📹"
_CREDIT = regex.compile(
    r"(?:#?+\b(?:photo(?:s|graph|graphy|grapher)?|pics?|pictures?|images?|videos?|vid|shot|captured|taken|words|recipe"
    r"|art|artwork|design|edit(?:ed)?|styled|hair|makeup|mua|model|(?:re)?post(?:ed|ing)?|regram(?:med)?|credits?|cred)"
    rf"(?:\s++(?:credits?|cred|courtesy(?:\s++of)?|by|from|to|via)\b|\s*+[:=|>•・{_CAMERA}-])++"
    r"|#?+\b(?:repost(?:ed|ing)?|regram(?:med)?|regrann|credits?|courtesy of|via|by|cc|pc|ph|ig|h/t"
    rf"|posted(?=\s++@(?:with)?re))\b[\s:=|>•・{_CAMERA}-]*+"
    rf"|[{_CAMERA}](?:\s*+by\b)?[\s:=|>-]*+)\s*+{_MENTIONS}(?:[ .]*+(?:[|•・]|[:-]++(?=\s)))*+",
    regex.IGNORECASE,
)

# Three passes do for what people write. What needs this many was made to need one for each repeat, and would take the
# square of its length.
_PASSES = 9
_STARTS = regex.compile(r"[#@]|follow|www\.", regex.IGNORECASE)

# What layout is made of: dot lines, bullets, bars, arrows. Quotes, brackets, ! and ? end sentences or make faces.
_LAYOUT = r".·•∙⋅‧・。●○◦▪▫■□◆◇★☆✧✦♡❋✿❀⋆×¤~|/\\*+=<>,:;°↓↑→←─━═_\-"
_SIGNS = rf"&{_LAYOUT}\p{{Extended_Pictographic}}\p{{Emoji_Modifier}}\p{{Regional_Indicator}}"
_GAP = rf"[,;|/&+•·\p{{Extended_Pictographic}}]*+(?:\s[\s{_SIGNS}]*+)?+"
_BETWEEN = rf"{_GAP}(?:{_NUMBER_TAG}{_GAP})*+"
_RUN = regex.compile(rf"{_TAG}(?:{_BETWEEN}{_TAG})*+")
_TAG_LINE = regex.compile(rf"[\s{_SIGNS}]*+(?:{_NUMBER_TAG}{_GAP})*+(?:{_TAG}{_BETWEEN})++[\s{_LAYOUT}]*+")
_LAYOUT_LINE = regex.compile(rf"[\s^'{_LAYOUT}]*+")
_LAYOUT_WORD = regex.compile(rf"[{_LAYOUT}]++")
_REST = regex.compile(rf"(?:[\s!?{_SIGNS}]++|{_NUMBER_TAG})*+")
_BRACKETS = regex.compile(r"(?<!\()\(++\)++|(?<!\[)\[++\]++|(?<!\S)[()\[\]]++(?!\S)")
_LOOSE_PUNCTUATION = regex.compile(r"\s++([,;.!?]++)(?!\S)")
_DOUBLE_PUNCTUATION = regex.compile(r"([,;.!?])(?:\s++[,;.!?]++(?!\S))++")
_LETTER = regex.compile(r"\p{L}")


def has_emoji(text: str) -> bool:
    """Whether a raw text, before any normalising, contains an emoji as defined in Unicode UTS #51.

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

    HTML entities are resolved, ™ © ® and the ʻokina go, dotted İ becomes I, odd and invisible spaces become blanks.
    """
    text = _unescape(text)
    if not (text.isascii() and text.replace("\n", "").isprintable() and "`" not in text):
        # Invisible characters before NFKC, since they would keep it from joining a letter and its mark.
        text = _INVISIBLE.sub("", text.replace("\r\n", "\n").translate(_FOLD))
        if not unicodedata.is_normalized("NFKC", text):
            text = _DOTTED_I.sub(_undotted, unicodedata.normalize("NFKC", text))
            # What NFKC makes may be foldable in its turn, and an I without its dot join another mark.
            text = unicodedata.normalize("NFKC", text.translate(_FOLD))
    normalised: str = _BLANKS.sub(" ", text) if "  " in text else text
    return normalised


def hashtags_of(text: str) -> list[str]:
    """The hashtags of a text: lower case, without `#`, each once, in the order of their first occurrence.

    A hashtag is `#` (or ＃) and letters, marks, digits and `_` with at least one letter; glued ones each count.
    E-mails and URLs hold none.
    """
    if "#" not in text and "＃" not in text and "﹟" not in text and "&" not in text:
        return []
    lower = _plain(text).lower()
    # A sigma's small form depends on what follows it, be it an address.
    if "ς" in lower:
        lower = _without_addresses(normalise(text).lower())
    found = _HASHTAG.findall(lower)
    return list(dict.fromkeys(tag.lstrip("#") for tag in found))


def normalise_hashtags(values: Iterable[str]) -> list[str]:
    """Hashtags that a source gives separately, in the form of `hashtags_of`: "#Food", "food" and " Food ".

    A value may contain several ("#a #b"). Anything that is not a valid hashtag is left out.
    """
    found: dict[str, None] = {}
    for value in values:
        plain = normalise(value).lower().strip()
        found |= dict.fromkeys([plain] if _WHOLE_HASHTAG.fullmatch(plain) else hashtags_of(value))
    return list(found)


def clean_caption(text: str) -> str:
    """The caption that goes into a model, on one line; "" if nothing with a letter is left.

    E-mails, URLs, mentions, credits ("Photo by @x |") and calls to follow go. Of the hashtags, the trailing
    block, lines of hashtags only, a leading run of two or more and any run of three or more go, and what numbers
    (`#2016`) stand among them; others lose `#` and stay as words. Emoji stay (`strip_emoji` first). Idempotent.
    """
    # Cutting one thing can join what stood around it into another (`www.#x.com`): cut until nothing changes.
    passes = 0
    while (cleaned := _cut(text)) != text:
        passes += 1
        text = cleaned if passes < _PASSES else _STARTS.sub(" ", cleaned)
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
    runs = list(_RUN.finditer(text))
    end = len(text)
    while runs and _REST.fullmatch(text, runs[-1].end(), end) and not _ends_sentence(text, runs[-1], end):
        end = runs.pop().start()
    # What closes the sentence may stand after the block: "Lovely #sea !!!".
    closing = text[end:].rstrip()
    closing = closing[len(closing.rstrip("!?")) :] if text[:end].rstrip()[-1:].isalnum() else ""
    kept: list[str] = []
    position = 0
    # Runs may span lines, so the long ones go before lines of tags do.
    for place, run in enumerate(runs):
        tags = len(_HASHTAG.findall(run.group()))
        if tags >= 3 or (tags == 2 and place == 0 and _REST.fullmatch(text, 0, run.start())):
            kept += (text[position : run.start()], "\n" if "\n" in run.group() else " ")
            position = run.end()
    text = "".join((*kept, text[position:end], closing))
    text = "\n".join(line for line in text.split("\n") if not ("#" in line and _TAG_LINE.fullmatch(line)))
    # A blank between glued words; it also keeps "#1" before a word from becoming the next pass's hashtag.
    words: str = _HASHTAG.sub(lambda tag: tag.group().lstrip("#"), _GLUED_TAG.sub(" ", text))
    return words


def _ends_sentence(text: str, run: regex.Match[str], end: int) -> bool:
    """Whether a run is a single hashtag and the last word of a sentence of `text[:end]`: "I love my #dog!"."""
    if run.end() == end or text[run.end()] not in ".!?":
        return False
    place = run.start()
    while place and text[place - 1] == " ":
        place -= 1
    before = text[place - 1] if place else ""
    return (before.isalnum() or before == ",") and len(_HASHTAG.findall(run.group())) == 1


# Hashtags and caption of a text are requested one after the other.
@functools.lru_cache(maxsize=4)
def _plain(text: str) -> str:
    """A text in normal form without e-mails and URLs."""
    return _without_addresses(normalise(text))


def _without_addresses(text: str) -> str:
    return _ADDRESS.sub(" ", text) if _MAY_HOLD_ADDRESS.search(text) else text


def _undotted(letter: regex.Match[str]) -> str:
    undotted: str = "I" + letter.group()[1:].replace("\u0307", "")
    return undotted


def _unescape(text: str) -> str:
    if "&" not in text:
        return text
    unescaped: str = _ENTITY.sub(lambda entity: html.unescape(f"&{entity[1]}"), text)
    return unescaped
