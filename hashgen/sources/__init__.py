"""Where posts come from: every source gives the same `Post`, with what it knows and None for the rest."""

from collections.abc import Iterator
from typing import Protocol

from hashgen.posts import Post


class Source(Protocol):
    """A place posts come from.

    `posts()` yields them one by one, in order of arrival, in bounded memory. A post whose picture is
    missing or unreadable is yielded all the same: dropping and counting is the filter's work. A fault of
    the source as a whole raises HashgenError.
    """

    def posts(self) -> Iterator[Post]:
        """Yield the posts in order of arrival."""
        ...
