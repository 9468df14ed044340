"""Parameters of the stage baselines."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from hashgen.params.fields import Name, Positive, PositiveFloat, Section, Seed

# Nothing that two readers of an address may read differently: no user, query or fragment, no odd characters.
_ADDRESS = re.compile(
    r"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?(?:/[\w.~/-]*)?", re.ASCII | re.IGNORECASE
)
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
PROMPT = """\
A picture is posted with this caption: {caption}
Write the {count} hashtags that people are most likely to use under this post.
Answer with the hashtags only, one on each line, the best first."""


def _is_address(value: str) -> str:
    if not _ADDRESS.fullmatch(value):
        raise ValueError("must be an address such as http://127.0.0.1:11434/v1, without user, query or fragment")
    return value


def _has_placeholders(value: str) -> str:
    if unknown := set(_PLACEHOLDER.findall(value)) - {"caption", "count"}:
        raise ValueError(f"only {{caption}} and {{count}} are replaced in it, not {{{min(unknown)}}}")
    return value


class Vlm(Section):
    url: Annotated[str, AfterValidator(_is_address)]
    model: Name
    # Only these two keys may be left out.
    prompt: Annotated[Name, AfterValidator(_has_placeholders)] | None = None
    budget: Positive
    timeout_seconds: PositiveFloat
    remote: bool = False

    def fill(self, caption: str, count: int) -> str:
        """The prompt for one post; `PROMPT` where params.yaml gives none."""
        values = {"caption": caption, "count": str(count)}
        return _PLACEHOLDER.sub(lambda found: values[found[1]], self.prompt or PROMPT)


class Baselines(Section):
    neighbours: Positive
    bootstrap: Annotated[int, Field(ge=10)]
    seed: Seed
    # This key may be left out.
    vlm: Vlm | None = None
