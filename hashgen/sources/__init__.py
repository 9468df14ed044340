"""Where posts come from: every source gives the same `Post`, with what it knows and None for the rest.

To add one: a folder here with `source.py`, in it a function `open_source`; its name in `scrape.source` and its block in
params.yaml and `hashgen/params/scrape.py`. Only the chosen source is imported, so that no other's packages are needed.
"""

import abc
import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hashgen.base.errors import HashgenError
from hashgen.corpus.posts import Post
from hashgen.corpus.tables import TRUTH_SCHEMA

if TYPE_CHECKING:
    from hashgen.params.scrape import Scrape


class Source(abc.ABC):
    """A place posts come from.

    `posts()` yields them one by one, in order of arrival, in bounded memory. A post whose picture is missing or
    unreadable is yielded anyway: dropping and counting is the job of the filter. A fault of the source as a whole
    raises HashgenError. Everything else is complete once `posts()` has ended.
    """

    total: int | None = None
    """How many posts are to come, where that is known."""

    fault: HashgenError | None = None
    """What ended the source early though the posts it gave are good: they are written, then the stage fails so."""

    @abc.abstractmethod
    def posts(self) -> Iterator[Post]:
        """Yield the posts in order of arrival."""

    def metrics(self) -> Mapping[str, Any]:
        """What the source met besides good posts, for `metrics/scrape.json`."""
        return {}

    def warnings(self) -> Sequence[str]:
        """What the user should know, one line each."""
        return []

    def truth(self) -> pa.Table:
        """What a drawn source knows of its posts (TRUTH_SCHEMA); no row for one that has no such knowledge."""
        return TRUTH_SCHEMA.empty_table()


@dataclasses.dataclass(frozen=True)
class Opening:
    """What a source may need besides its parameters.

    resolve: turns a path as params name it into one that can be opened. salt: for hashes of authors; None where none
    are kept; asked for only by sources that know authors. state: folder of what outlives a run. refresh: look for new
    posts under hashtags that are complete.
    """

    resolve: Callable[[str], Path]
    salt: Callable[[], bytes | None]
    state: Path
    refresh: bool = False


def open_source(section: "Scrape", opening: Opening) -> Source:
    """The source that `scrape.source` names. Raises HashgenError when its parameters are at fault."""
    module = importlib.import_module(f"hashgen.sources.{section.source}.source")
    source: Source = module.open_source(section, opening)
    return source
