"""The ways in which collecting from a site stops, each with the exit code of the stage.

| exit code | what happened |
|---|---|
| 1 | bad parameters; no post of any hashtag |
| 3 | asked to wait: a refusal (401 and 429 of pictures too, 403 of three in a row), or the day's requests used up |
| 4 | the login is missing or has ended |
| 5 | the account needs attention |
| 6 | the answers are not understood |
| 7 | the network is down, or the servers are out of order |
| 8 | the disk is full |
| 130, 143 | ended by SIGINT or SIGTERM |

Until the waiting time that a refusal sets is over, all runs end with the code of that refusal.
"""

import enum
import errno
import sqlite3
from datetime import UTC, datetime

_FULL = (errno.ENOSPC, errno.EDQUOT)
_SQLITE_FULL = 13


class ExitCode(enum.IntEnum):
    """The exit codes of the module's table."""

    PARAMETERS = 1
    WAIT = 3
    LOGIN = 4
    ATTENTION = 5
    ANSWER = 6
    NETWORK = 7
    DISK = 8


class Stop(Exception):
    """Collecting cannot go on; what was collected is kept.

    what: what happened, in words that hold no name, address or secret. remedy: what to do. until: epoch seconds before
    which another run is of no use; None if it is.
    """

    def __init__(self, what: str, exit_code: int, remedy: str = "", until: float | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.exit_code = exit_code
        self.remedy = remedy
        self.until = until

    def advice(self) -> str:
        """What to do and when, as the end of a message."""
        when = f"run again after {clock_text(self.until)}" if self.until is not None else "run again to go on"
        return f"{self.remedy}, then {when}" if self.remedy else when


class Refusal(Stop):
    """The site refuses to serve: no run may make a request for a time. retry_after: seconds it asked for, if it did."""

    def __init__(self, what: str, exit_code: int, remedy: str = "", retry_after: float | None = None) -> None:
        super().__init__(what, exit_code, remedy)
        self.retry_after = retry_after


def disk_full(error: BaseException) -> Stop | None:
    """The stop that `error` means if it says that a disk is full; None for any other error."""
    full = isinstance(error, OSError) and error.errno in _FULL
    if isinstance(error, sqlite3.OperationalError):
        full = getattr(error, "sqlite_errorcode", 0) & 0xFF == _SQLITE_FULL or "disk is full" in str(error)
    return Stop("the disk is full", ExitCode.DISK, "make room") if full else None


def clock_text(at: float) -> str:
    """A time of epoch seconds in UTC, with its date unless that is today's: 14:32 UTC, 2026-01-31 14:32 UTC.

    Rounded up to the minute, so that it is never too early.
    """
    moment = datetime.fromtimestamp(-(-at // 60) * 60, tz=UTC)
    return moment.strftime("%H:%M UTC" if moment.date() == datetime.now(tz=UTC).date() else "%Y-%m-%d %H:%M UTC")
