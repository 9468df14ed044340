"""The ways in which collecting from a site can stop, with the exit code of the stage.

| exit code | what happened |
|---|---|
| 1 | bad parameters; no post of any hashtag |
| 3 | must wait: a refusal (also 401 and 429 for a picture, 403 in a row of failures), or the daily limit is reached |
| 4 | the login is missing or has expired; a picture leads to the login page |
| 5 | the account needs attention |
| 6 | the answers are not understood, also several pictures, or posts' own pages, in a row |
| 7 | the network is down, or the servers have an error, also those of pictures |
| 8 | the disk is full |
| 130, 143 | stopped by SIGINT or SIGTERM |

Until the wait after a refusal is over, all runs end with the exit code of that refusal.
"""

import enum
from datetime import UTC, datetime

from hashgen.base.faults import DISK_FULL, is_disk_full


class ExitCode(enum.IntEnum):
    """The exit codes of the module's table."""

    PARAMETERS = 1
    WAIT = 3
    LOGIN = 4
    ATTENTION = 5
    ANSWER = 6
    NETWORK = 7
    DISK = DISK_FULL


class Stop(Exception):
    """Collecting cannot continue; what was collected is kept.

    what: what happened, without any name, address or secret. remedy: what to do. until: epoch seconds before which
    another run is pointless; None if it can be started at once.
    """

    def __init__(self, what: str, exit_code: int, remedy: str = "", until: float | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.exit_code = exit_code
        self.remedy = remedy
        self.until = until

    def advice(self) -> str:
        """What to do and when, as the end of a message."""
        when = f"run again after {clock_text(self.until)}" if self.until is not None else "run again to continue"
        return f"{self.remedy}, then {when}" if self.remedy else when


class Refusal(Stop):
    """The site refuses to serve us: no run may send requests for a while. retry_after: seconds it asked for, if any."""

    def __init__(self, what: str, exit_code: int, remedy: str = "", retry_after: float | None = None) -> None:
        super().__init__(what, exit_code, remedy)
        self.retry_after = retry_after


def disk_full(error: BaseException) -> Stop | None:
    """The stop that `error`, or what it was raised from, means if it says that a disk is full; None for any other."""
    if error.__cause__ is not None and (stop := disk_full(error.__cause__)):
        return stop
    return Stop("the disk is full", ExitCode.DISK, "free some space") if is_disk_full(error) else None


def clock_text(at: float) -> str:
    """A time of epoch seconds in UTC, with its date unless that is today's: 14:32 UTC, 2026-01-31 14:32 UTC.

    Rounded up to the minute, so that it is never too early.
    """
    moment = datetime.fromtimestamp(-(-at // 60) * 60, tz=UTC)
    return moment.strftime("%H:%M UTC" if moment.date() == datetime.now(tz=UTC).date() else "%Y-%m-%d %H:%M UTC")
