"""What the server needs of a suggester: `hashgen.suggesting.suggester.Suggester` is one, a test's double another."""

from collections.abc import Sequence
from typing import Any, Protocol


class Answer(Protocol):
    """Hashtags for one post, best first."""

    def to_json(self) -> dict[str, Any]:
        """The object that `POST /api/suggest` answers with: `hashtags` and `warnings`."""
        ...


class Core(Protocol):
    """A loaded model; its methods are called from several threads."""

    @property
    def about(self) -> dict[str, Any]:
        """What the model learnt from: model, posts, hashtags, source, warnings."""
        ...

    def encode(self, data: bytes) -> Any:
        """The features of a picture. Raises HashgenError for bytes that are none."""
        ...

    def suggest(
        self,
        picture: Any = None,
        caption: str = "",
        *,
        tags: Sequence[str] = (),
        add: Sequence[str] = (),
        max: int | None = None,
        platform: str | None = None,
        min_confidence: float = 0.0,
        mix: Any = "balanced",
        ban: Sequence[str] = (),
        allow: Sequence[str] = (),
        prefix: str = "",
        explain: bool = False,
    ) -> Answer:
        """Hashtags for a picture that `encode` returned, a caption, or both. Raises HashgenError for a bad option."""
        ...
