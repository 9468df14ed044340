"""What rows of metadata have in common, whatever file they come from: values, and counts of faults."""

import dataclasses
import re
from datetime import UTC, datetime
from typing import Any

# Also what a list becomes when a table is saved as CSV: ['a', 'b'].
_BETWEEN_HASHTAGS = re.compile(r"[\s,;\[\]\"']+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NAMED_ROWS = 5
_LEAST_MILLISECONDS = 1e11

Row = dict[str, Any]


class BrokenRow(ValueError):
    """A row that cannot become a post; the message says why."""


@dataclasses.dataclass
class RowCounts:
    """What a source contained besides good posts.

    rows: all, broken ones included. broken_rows: those that could not become a post; broken_names lists the first few,
    each with the reason. rows_without_file: posts without a readable picture; first_missing: where the first should be.
    files_without_rows: pictures not named in any row. unread_dates: dates neither ISO 8601 nor seconds or milliseconds
    since 1970, treated as unknown.
    """

    rows: int = 0
    broken_rows: int = 0
    rows_without_file: int = 0
    files_without_rows: int = 0
    unread_dates: int = 0
    broken_names: list[str] = dataclasses.field(default_factory=list)
    first_missing: str | None = dataclasses.field(default=None, compare=False)

    def add_broken(self, name: str, reason: object) -> None:
        """Count a row that could not become a post. name: where it is."""
        self.broken_rows += 1
        if len(self.broken_names) < _NAMED_ROWS:
            self.broken_names.append(f"{name}: {reason}")

    def add_without_file(self, looked_for: object = None) -> None:
        """Count a post without a readable picture. looked_for: its path, None if it has none."""
        self.rows_without_file += 1
        if looked_for is not None and self.first_missing is None:
            self.first_missing = str(looked_for)

    def metrics(self) -> dict[str, int]:
        """The counts, for `metrics/scrape.json`."""
        return {
            "broken_rows": self.broken_rows,
            "rows_without_file": self.rows_without_file,
            "files_without_rows": self.files_without_rows,
            "unread_dates": self.unread_dates,
        }

    def warnings(self) -> list[str]:
        """One line for each kind of fault that occurred."""
        place = f" (first: {self.first_missing})" if self.first_missing else ""
        dates = f"{self.unread_dates:,} dates that are neither ISO 8601 nor seconds or milliseconds since 1970"
        lines = {
            f"{self.broken_rows:,} broken rows skipped ({'; '.join(self.broken_names)})": self.broken_rows,
            f"{self.rows_without_file:,} rows without a readable file{place}": self.rows_without_file,
            f"{self.files_without_rows:,} files not named in any row": self.files_without_rows,
            dates: self.unread_dates,
        }
        return [line for line, count in lines.items() if count]


def check_text(value: str) -> None:
    """Raise BrokenRow for text that contains NUL or is not UTF-8 (then it has surrogates)."""
    if "\0" in value:
        raise BrokenRow("a NUL character, or a line over 1 MiB")
    if _SURROGATE.search(value):
        raise BrokenRow("not UTF-8")


def read_text(row: Row, key: str) -> str | None:
    """A value as text: numbers as they are written; None where there is none. Raises BrokenRow for anything else."""
    value = row.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, bool | list | dict | bytes):
        raise BrokenRow(f"{key} is not text")
    # pandas writes a column of whole numbers with gaps as 12.0.
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    check_text(text)
    return text


def read_hashtags(row: Row, key: str) -> list[str] | None:
    """Hashtags from a list, or text separated by spaces, commas or semicolons; None without a value.

    They lose the `#` they begin with; what is nothing but `#` stays as it is, for the stage filter to judge. Raises
    BrokenRow for anything else.
    """
    value = row.get(key)
    if isinstance(value, str):
        value = _BETWEEN_HASHTAGS.split(value)
    elif value is not None and not isinstance(value, list):
        raise BrokenRow(f"{key} is neither a list nor text")
    if value is None:
        return None
    texts = (read_text({key: tag}, key) for tag in value)
    return [text.lstrip("#＃") or text for text in texts if text]


def read_date(value: object, counts: RowCounts) -> datetime | None:
    """ISO 8601 (UTC unless it says otherwise) or time since 1970, as UTC; None, and counted, for anything else.

    Numbers below 1e11 (the year 5138) are seconds, larger ones milliseconds (from March 1973 on).
    """
    if value is None or value == "":
        return None
    try:
        return _parse_date(value)
    except (ValueError, OverflowError, OSError):
        counts.unread_dates += 1
        return None


def _parse_date(value: object) -> datetime:
    text = str(value).strip().removesuffix(" UTC")  # BigQuery
    # Fewer digits are a year or a day: 2019, 20190430.
    if re.fullmatch(r"-?[0-9]{9,}(\.[0-9]*)?", text):
        number = float(text)
        return datetime.fromtimestamp(number if abs(number) < _LEAST_MILLISECONDS else number / 1000, tz=UTC)
    date = datetime.fromisoformat(text)
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
