"""Where posts come from: every source gives the same `Post`, with what it knows and None for the rest."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from hashgen.base.errors import HashgenError
from hashgen.corpus.posts import Post


class Source(Protocol):
    """A place posts come from.

    `posts()` yields them one by one, in order of arrival, in bounded memory. A post whose picture is missing or
    unreadable is yielded anyway: dropping and counting is the job of the filter. A fault of the source as a whole
    raises HashgenError. Everything else is complete once `posts()` has ended.
    """

    total: int | None
    """How many posts are to come, where that is known."""

    fault: HashgenError | None
    """What ended the source early though the posts it gave are good: they are written, then the stage fails so."""

    def posts(self) -> Iterator[Post]:
        """Yield the posts in order of arrival."""
        ...

    def metrics(self) -> Mapping[str, Any]:
        """What the source met besides good posts, for `metrics/scrape.json`."""
        ...

    def warnings(self) -> Sequence[str]:
        """What the user should know, one line each."""
        ...
