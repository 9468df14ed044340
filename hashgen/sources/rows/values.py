"""What rows of metadata have in common, whatever file they come from: values, and counts of faults."""

import ast
import contextlib
import dataclasses
import html
import json
import re
import warnings
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from hashgen.base.errors import printable
from hashgen.text.captions import has_emoji, hashtags_of, normalise_hashtags

# What stands between hashtags given as text, also what a list becomes when a table is saved as CSV: ['a', 'b']. An
# apostrophe within a word is not among it.
_BETWEEN_HASHTAGS = re.compile(r"[\s,;|/\\\[\](){}\"`·•、，；،‘’“”«»—–―\u200b]+|(?<!\w)'|'(?!\w)")
# `#a#b` are two; what is nothing but `#` stays.
_HASHTAG = re.compile(r"[#＃﹟]*[^#＃﹟]+|[#＃﹟]+")
# What numpy, pandas and Python write around the values of a list, and for a value that is missing.
_AROUND_LIST = re.compile(
    r"(?<=[\[({,\s])[uUbB](?=['\"])|\b(?:array|frozenset|set|list|tuple|deque|dict_keys|dict_values|Index|c)\s*(?=\()|\bdtype='?\w+'?(?=\s*\))"
)
_NOTHING_IN_LIST = re.compile(r"(?<=[\[({,\s])(?:nan|NaN|None|null|NULL|<NA>|NA)(?=\s*[\])},])")
_LIST = re.compile(r"\s*(?:(?:np\.)?[a-z]+\s*)?[\[({]", re.IGNORECASE)
# Objects, also as Python writes them: OrderedDict(…), Tag(name='food').
_DICT = re.compile(r"\{\s*[\"']?\w+[\"']?\s*:|\b(?:OrderedDict|defaultdict)\(|\w\(\w+\s*=")
# Where an object that stands for a hashtag has it.
HASHTAG_KEYS = ("name", "text", "hashtag", "tag")
_ESCAPE = re.compile(r"""\\(?:u[0-9a-fA-F]{4}|[nrt"'/\\])""")
_TELLING_ESCAPE = re.compile(r"\\u[0-9a-fA-F]{4}|\\r?\\?n")
_ESCAPED = {"n": "\n", "r": "\n", "t": " "}
# Tags that a page's text is marked up with; `<3` and the like are none.
_TAG_NAMES = (
    "a|article|b|blockquote|br|button|center|code|del|div|em|figcaption|figure|font|footer|h[1-6]|header|hr|i|iframe|img"
    "|input|ins|label|li|main|nav|ol|p|pre|s|script|section|small|source|span|strong|style|sub|sup|svg|table|tbody|td|th"
    "|thead|tr|u|ul|video|wbr"
)
_HTML = re.compile(rf"</?({_TAG_NAMES})(?:\s+[\w-]+=[^<>]{{0,2000}})?\s?/?>|<!--[^<>]{{0,2000}}-->", re.IGNORECASE)
_BREAKS = (
    "article",
    "blockquote",
    "br",
    "div",
    "hr",
    "li",
    "p",
    "section",
    "td",
    "th",
    "tr",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNFIT = re.compile("[\ud800-\udfff\0]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_NAMED_ROWS = 5
_LONGEST_QUOTE = 100
_LONGEST_PLACE = 400
_LEAST_MILLISECONDS = 1e11
_NOT_UTF8 = "not UTF-8"
# 20190430120000, with or without seconds: as milliseconds it would be the year 2609 or 1976.
_DIGITS_OF_DATE = re.compile(
    r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?"
)

Row = dict[str, Any]

# How pandas, R, SQL and others write a missing value; a caption may really be such a word.
NOTHING = ("", "NaN", "nan", "None", "null", "NULL", "NA", "<NA>", "NaT", "\\N")


class BrokenRow(ValueError):
    """A row that cannot become a post; the message says why."""


@dataclasses.dataclass
class RowCounts:
    """What a source contained besides good posts.

    rows: all, broken ones included. broken_rows: those that could not become a post; broken_names lists the first few,
    each with the reason. rows_without_file: posts without a readable picture. files_without_rows: pictures not named in
    any row. unread_dates: dates neither ISO 8601 nor seconds or milliseconds since 1970, treated as unknown.
    unread_hashtags: values among hashtags that hold no hashtag. decoded_captions: those that held HTML or written-out
    escapes. mended_rows: those with half an emoji or NUL, which became U+FFFD. doubtful_rows: those whose lines look
    like rows of their own. shared_ids: rows with the id of an earlier row that is another post; shared_names lists the
    first few. linked_folders: links to folders, which are not followed. unread_files: those that look like metadata, or
    like a part of the table, but are none that is read. first: the first of a kind, by the name of its count, and where
    it is. place: where the row in hand is.
    """

    rows: int = 0
    broken_rows: int = 0
    rows_without_file: int = 0
    files_without_rows: int = 0
    unread_dates: int = 0
    unread_hashtags: int = 0
    decoded_captions: int = 0
    mended_rows: int = 0
    doubtful_rows: int = 0
    shared_ids: int = 0
    linked_folders: int = 0
    unread_files: int = 0
    broken_names: list[str] = dataclasses.field(default_factory=list)
    shared_names: list[str] = dataclasses.field(default_factory=list)
    first: dict[str, str] = dataclasses.field(default_factory=dict, compare=False)
    place: str = dataclasses.field(default="", compare=False)

    def add_broken(self, name: str, reason: object) -> None:
        """Count a row that could not become a post. name: where it is."""
        self.broken_rows += 1
        if len(self.broken_names) < _NAMED_ROWS:
            self.broken_names.append(_on_one_line(f"{name}: {reason}"))

    def add_shared(self, name: str, post: str) -> None:
        """Count a row that has the id of an earlier one but is another post. name: where it is."""
        self.shared_ids += 1
        if len(self.shared_names) < _NAMED_ROWS:
            self.shared_names.append(_on_one_line(f"{name}: {quoted(post)}"))

    def add_without_file(self, looked_for: object = None) -> None:
        """Count a post without a readable picture. looked_for: its path, or why there is none; None for no value."""
        self.rows_without_file += 1
        self._note("rows_without_file", "no value" if looked_for is None else str(looked_for))

    def add_unread_date(self, value: object) -> None:
        """Count a date that cannot be read."""
        self.unread_dates += 1
        self._note("unread_dates", quoted(value))

    def add_unread_hashtag(self, value: object) -> None:
        """Count a value that should be a hashtag and is none."""
        self.unread_hashtags += 1
        self._note("unread_hashtags", quoted(value))

    def add_decoded(self, caption: str) -> None:
        """Count a caption that was decoded. caption: as it was before."""
        self.decoded_captions += 1
        self._note("decoded_captions", quoted(caption))

    def add_mended(self, text: str) -> None:
        """Count the row in hand, whose `text` had half an emoji or NUL."""
        self.mended_rows += 1
        self._note("mended_rows", quoted(text))

    def add_doubtful(self, place: str) -> None:
        """Count a row whose lines look like rows of their own. place: where it ends."""
        self.doubtful_rows += 1
        self.first.setdefault("doubtful_rows", _on_one_line(place))

    def add_linked(self, folder: str) -> None:
        """Count a link to a folder."""
        self.linked_folders += 1
        self.first.setdefault("linked_folders", _on_one_line(folder))

    def add_unread_file(self, file: str) -> None:
        """Count a file that looks as if it were to be read. file: its name, and what to do with it."""
        self.unread_files += 1
        self.first.setdefault("unread_files", _on_one_line(file))

    def _note(self, kind: str, what: str) -> None:
        if kind not in self.first:
            text = _on_one_line(f"{self.place}: {what}" if self.place else what)
            self.first[kind] = text if len(text) <= _LONGEST_PLACE else f"{text[:_LONGEST_PLACE]}…"

    def metrics(self) -> dict[str, int]:
        """The counts, for `metrics/scrape.json`."""
        return {
            "broken_rows": self.broken_rows,
            "rows_without_file": self.rows_without_file,
            "files_without_rows": self.files_without_rows,
            "unread_dates": self.unread_dates,
            "unread_hashtags": self.unread_hashtags,
            "decoded_captions": self.decoded_captions,
            "mended_rows": self.mended_rows,
            "doubtful_rows": self.doubtful_rows,
            "shared_ids": self.shared_ids,
            "linked_folders": self.linked_folders,
            "unread_files": self.unread_files,
        }

    def broken(self) -> str:
        """The first broken rows, each with the reason, and what to do if that is the encoding."""
        names = "; ".join(self.broken_names)
        remedy = "; save it as UTF-8, not Windows-1252 or the like (in Excel: CSV UTF-8)"
        return names + remedy if _NOT_UTF8 in names else names

    def warnings(self) -> list[str]:
        """One line for each kind of fault that occurred."""
        lines = {
            "broken_rows": f"broken rows skipped ({self.broken()})",
            "rows_without_file": "rows without a readable file",
            "files_without_rows": "files not named in any row",
            "unread_dates": "dates that are neither ISO 8601 nor seconds or milliseconds since 1970",
            "unread_hashtags": "values among the hashtags that are not hashtags",
            "decoded_captions": "captions with HTML or written-out escapes, decoded",
            "mended_rows": "rows with half an emoji or a NUL character, replaced by \N{REPLACEMENT CHARACTER}",
            "doubtful_rows": "rows that hold what looks like other rows; if they do, a quote is missing or not doubled",
            "shared_ids": "rows with the id of an earlier row, but another text or other hashtags; they got an id of "
            f"their own ({'; '.join(self.shared_names)})",
            "linked_folders": "links to folders, not followed; put the folders themselves there",
            "unread_files": "files that are not read, but look as if they were meant to be",
        }
        return [
            f"{count:,} {line}" + (f" (first: {self.first[kind]})" if kind in self.first else "")
            for kind, line in lines.items()
            if (count := getattr(self, kind))
        ]


def _on_one_line(text: str) -> str:
    return printable(text).replace("\n", "\\n")


def quoted(value: object) -> str:
    """A value from a file for a message: on one line, short, without what is not UTF-8."""
    text = repr(str(value)[: _LONGEST_QUOTE + 1])
    return text if len(str(value)) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…'"


def check_text(value: str) -> None:
    """Raise BrokenRow for text that contains NUL or is not UTF-8 (then it has surrogates)."""
    if "\0" in value:
        raise BrokenRow("a NUL character, or a line over 32 MiB")
    if _SURROGATE.search(value):
        raise BrokenRow(_NOT_UTF8)


def mended(value: Any, counts: RowCounts) -> Any:
    r"""A value with U+FFFD for half an emoji (`"\ud83d"`) and for NUL, which a post cannot hold, and counted.

    JSON can write both. Not for text that was decoded with surrogates for bytes that are not UTF-8.
    """
    found: list[str] = []
    value = _mended(value, found)
    if found:
        counts.add_mended(found[0])
    return value


def _mended(value: Any, found: list[str]) -> Any:
    if isinstance(value, str) and _UNFIT.search(value):
        found.append(value)
        return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, list):
        return [_mended(item, found) for item in value]
    if isinstance(value, dict):
        return {_mended(key, found): _mended(item, found) for key, item in value.items()}
    return value


def read_text(row: Row, key: str) -> str | None:
    """A value as text: numbers as they are written; None where there is none. Raises BrokenRow for anything else."""
    value = row.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, bool | list | dict | bytes):
        raise BrokenRow(f"{key} is not text but {quoted(value)}")
    # pandas writes a column of whole numbers with gaps as 12.0.
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    check_text(text)
    return text


def read_caption(row: Row, key: str, counts: RowCounts) -> str | None:
    r"""A text in which HTML tags are cut and written-out escapes (`\n`, `\u00e9`) are decoded, and counted.

    Tags may be escaped themselves (`&lt;p&gt;`), once or twice. Escapes are decoded only in a text on one line, which
    an export has made of several. Raises BrokenRow as `read_text`.
    """
    caption = read_text(row, key)
    if caption is None:
        return None
    text = caption
    for plain in (caption, html.unescape(caption), html.unescape(html.unescape(caption))):
        if "<" in plain and (cut := _HTML.sub(_cut_tag, plain)) != plain:
            text = cut.strip()
    if "\\" in text and "\n" not in text and _TELLING_ESCAPE.search(text):
        text = _decode_escapes(text)
    if text != caption:
        counts.add_decoded(caption)
    return text or None


def _cut_tag(tag: re.Match[str]) -> str:
    return "\n" if tag[1] and tag[1].lower() in _BREAKS else ""


def _decode_escapes(text: str) -> str:
    decoded = _ESCAPE.sub(_decode_escape, text)
    # JSON writes an emoji as two halves.
    decoded = _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), decoded)
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", decoded).replace("\0", "")


def _decode_escape(escape: re.Match[str]) -> str:
    code = escape[0][1:]
    return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPED.get(code, code)


def read_hashtags(row: Row, key: str, counts: RowCounts) -> list[str] | None:
    """Hashtags from a list, or from text: separated by spaces, commas or `|`, or as a list is written in some language.

    Objects have their hashtag under one of HASHTAG_KEYS. None without a value. Hashtags lose the `#` they begin with;
    what is nothing but `#` stays as it is, for the stage filter to judge. What holds letters but no hashtag, or is of
    another type, is counted in `counts`. Raises BrokenRow for text that `check_text` refuses.
    """
    value = row.get(key)
    if value is None:
        return None
    found = _tags(value, counts)
    for tag in found:
        if any(map(str.isalpha, tag)) and not normalise_hashtags([tag.lstrip("#＃﹟")]):
            counts.add_unread_hashtag(tag)
    return [tag.lstrip("#＃﹟") or tag for tag in found]


def _tags(value: object, counts: RowCounts) -> list[str]:
    """The hashtags of a value; what can hold none is counted."""
    if isinstance(value, str):
        text = html.unescape(value)
        if "%23" in text:
            text = unquote(text)
        if _DICT.search(text) and isinstance(found := parsed(text), list | tuple | dict):
            return _tags(found, counts)
        return [tag for piece in _split_hashtags(_items(text, counts)) for tag in _as_written(piece)]
    if isinstance(value, list | tuple):
        return [tag for item in value for tag in _tags_of_item(item, counts)]
    return _tags_of_item(value, counts)


def _tags_of_item(item: object, counts: RowCounts) -> list[str]:
    """The hashtags of one item of a list: text, a number, an object that names one, or another list."""
    if item is None or item == "" or item != item:  # NaN
        return []
    if isinstance(item, list | tuple):
        return _tags(item, counts)
    if isinstance(item, dict):
        if key := next((key for key in HASHTAG_KEYS if key in item), None):
            return _tags_of_item(item[key], counts)
    elif isinstance(item, bytes):
        return _one_or_several(item.decode("utf-8", "replace"))
    elif not isinstance(item, bool):
        text = read_text({"": item}, "") or ""
        return _one_or_several(unquote(text) if "%23" in text else text)
    counts.add_unread_hashtag(item)
    return []


def parsed(text: str) -> object:
    """What JSON or Python has written as text; None for anything else."""
    for parse in (json.loads, ast.literal_eval):
        with (
            contextlib.suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError),
            warnings.catch_warnings(action="ignore"),  # Python tells of escapes that it does not know
        ):
            return parse(text)
    return None


def _as_written(piece: str) -> list[str]:
    """A piece of text; what ends a hashtag that is written with its sign (#love!) is cut, but for an emoji."""
    cut = hashtags_of(piece) if piece[0] in "#＃﹟" and not has_emoji(piece) else []
    return [piece] if not cut or normalise_hashtags([piece.lstrip("#＃﹟")]) else [f"#{tag}" for tag in cut]


def _one_or_several(item: str) -> list[str]:
    """An item of a list: a hashtag, or several that all have their sign."""
    return _split_hashtags(item) if len(hashtags_of(item)) > 1 else [item]


def _items(text: str, counts: RowCounts) -> str:
    """Text that holds hashtags without what a written list has besides."""
    if "\\" in text:
        text = _decode_escapes(text)
    if not _LIST.match(text):
        return text
    if _DICT.search(text):
        counts.add_unread_hashtag(text)
        return ""
    return _NOTHING_IN_LIST.sub("", _AROUND_LIST.sub("", text))


def _split_hashtags(text: str) -> list[str]:
    return [tag for piece in _BETWEEN_HASHTAGS.split(text) for tag in _HASHTAG.findall(piece or "")]


def read_date(value: object, counts: RowCounts) -> datetime | None:
    """ISO 8601 (UTC unless it says otherwise) or time since 1970, as UTC; None, and counted, for anything else.

    Numbers below 1e11 (the year 5138) are seconds, larger ones milliseconds (from March 1973 on).
    """
    if value is None or value == "":
        return None
    try:
        return _parse_date(value)
    except (ValueError, OverflowError, OSError):
        counts.add_unread_date(value)
        return None


def _parse_date(value: object) -> datetime:
    text = str(value).strip().removesuffix(" UTC")  # BigQuery
    if _DIGITS_OF_DATE.fullmatch(text):
        return datetime.strptime(text.ljust(14, "0"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    # Fewer digits are a year or a day: 2019, 20190430.
    if re.fullmatch(r"-?[0-9]{9,}(\.[0-9]*)?", text):
        number = float(text)
        return datetime.fromtimestamp(number if abs(number) < _LEAST_MILLISECONDS else number / 1000, tz=UTC)
    date = datetime.fromisoformat(text)
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
