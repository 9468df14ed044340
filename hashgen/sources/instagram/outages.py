"""What failures one after another mean: a fault of each picture or post, or an outage in which nothing is decided."""

from hashgen.sources.stops import ExitCode, Refusal, Stop

PICTURE, DETAIL = "picture", "detail"  # what fails: a picture, or a post's own page
# After this many in a row, the pictures are not to blame.
_FAILURES = 3
# Posts that are gone may well be neighbours: this many in a row are an outage.
_GONE_FAILURES = 6
_GONE = ("http_404", "http_410", "no_picture", "gone")
_REFUSED = "http_403"
_UNTRUSTED = "tls"
_NETWORK = ("truncated", "empty", "timeout", "network", "http_5xx", _UNTRUSTED)


class Row:
    """The failures, of whatever kinds, since the last one of its kind was served. kind: PICTURE or DETAIL.

    served: how often one was.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.reasons: list[str] = []
        self.served = 0

    def add(self, reason: str) -> None:
        """Count a failure."""
        self.reasons.append(reason)

    def end(self) -> None:
        """Count one that was served."""
        self.reasons.clear()
        self.served += 1

    @property
    def is_doubtful(self) -> bool:
        """Whether it is so long that its posts must be asked for again before they are rejected."""
        return len(self.reasons) >= _FAILURES

    @property
    def is_outage(self) -> bool:
        """Whether nothing more should be requested for now."""
        patience = _GONE_FAILURES if set(self.reasons) <= set(_GONE) else _FAILURES
        return len(self.reasons) >= patience or _UNTRUSTED in self.reasons

    def stop(self) -> Stop:
        """The end of a run that this row means."""
        if _REFUSED in self.reasons:
            return Refusal("the picture servers refused the request (403)", ExitCode.WAIT)
        named = ", ".join(dict.fromkeys(self.reasons))
        if self.kind == DETAIL:
            what = f"the pages of posts were not understood ({named})"
            return Stop(what, ExitCode.ANSWER, "try a newer instaloader (pip install -U instaloader)")
        what = f"pictures cannot be downloaded ({named})"
        if not set(self.reasons).isdisjoint(_NETWORK):
            return Stop(what, ExitCode.NETWORK, "check your connection")
        return Stop(what, ExitCode.ANSWER, "wait a while")
