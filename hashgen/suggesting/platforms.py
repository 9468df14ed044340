"""How many hashtags a platform takes, with the date from which it does and where that is said."""

import dataclasses

from hashgen.base.errors import HashgenError


@dataclasses.dataclass(frozen=True)
class Platform:
    """A place to post. limit: most hashtags of a post; None where there is no fixed number.

    since: when the limit came, year or year-month; None without one. source: who says so.
    """

    name: str
    label: str
    limit: int | None
    since: str | None
    source: str


# Checked on 2026-11-26. Platforms change this without notice: edit it here and in docs/use.md.
_ALL = (
    Platform("instagram", "Instagram", 5, "2025-12", "Instagram's @creators account, 18 December 2025"),
    Platform("threads", "Threads", 1, "2023-12", "announced on 7 December 2023: one topic a post"),
    Platform("tiktok", "TikTok", 5, "2025-08", "in the app; reported by Social Media Today, August 2025"),
    Platform("youtube", "YouTube", 60, None, "YouTube Help, by 2022 (earlier: 15): with more, all are ignored"),
    Platform("pinterest", "Pinterest", 20, None, "a guideline of Pinterest, as marketing guides quote it"),
    Platform("x", "X", None, None, "no fixed number; hashtags count as characters of the post"),
    Platform("linkedin", "LinkedIn", None, None, "no fixed number"),
    Platform("facebook", "Facebook", None, None, "no fixed number"),
    Platform("mastodon", "Mastodon", None, None, "no fixed number; hashtags count as characters of the post"),
    Platform("bluesky", "Bluesky", None, None, "no fixed number; hashtags count as characters of the post"),
)
PLATFORMS = {platform.name: platform for platform in _ALL}
DEFAULT = "instagram"


def platform_of(name: str) -> Platform:
    """The platform of this name, in any case. Raises HashgenError that lists them."""
    platform = PLATFORMS.get(name.strip().lower()) if isinstance(name, str) else None
    if platform is None:
        raise HashgenError(f"platform: no {name!r:.60}; use one of {', '.join(PLATFORMS)}")
    return platform
