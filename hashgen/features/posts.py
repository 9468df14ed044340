"""Posts as models see them: picture features and captions, with the true hashtags apart."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

# What a model reads of a post, and what it is made blind to when it is scored.
Inputs = Literal["both", "image", "caption"]
Blind = Literal["image", "caption"]
# Rows, and columns, of the grid that a picture's places are pooled to.
GRID_SIDE = 7


@dataclasses.dataclass(frozen=True)
class Features:
    """Picture features in rows.

    plain: (n, dim) float16, the pictures unaugmented. views: (n, views, dim) float16, the augmented ones; views may
    be 0. grid: (n, GRID_SIDE², dim) float16, places of the pictures unaugmented, row by row; None without.
    """

    plain: npt.NDArray[np.float16]
    views: npt.NDArray[np.float16]
    grid: npt.NDArray[np.float16] | None = dataclasses.field(default=None, kw_only=True)

    @property
    def dim(self) -> int:
        """Length of a feature vector."""
        return int(self.plain.shape[1])


@dataclasses.dataclass(frozen=True)
class Posts:
    """What a model may know of posts when it writes hashtags for them, and nothing else.

    features: of these posts, and perhaps of others. rows: (n,) int64, the row of each post in them. captions: (n),
    cleaned, hashtags cut. sentences: (n, dim) float32, what a frozen encoder makes of each caption; None without one.
    sentiment: (n, 2) float32, of each caption (see `hashgen.text.sentiment`); None where models do not read it.
    """

    features: Features
    rows: npt.NDArray[np.int64]
    captions: list[str]
    sentences: npt.NDArray[np.float32] | None = None
    sentiment: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def pair(self, pictures: Sequence[int], captions: Sequence[int]) -> "Posts":
        """New posts: the pictures of the posts at the places `pictures` with the captions of those at `captions`."""
        texts = np.array(captions, np.int64)
        return Posts(
            self.features,
            self.rows[np.array(pictures, np.int64)],
            [self.captions[post] for post in texts],
            None if self.sentences is None else self.sentences[texts],
            None if self.sentiment is None else self.sentiment[texts],
        )


def spaced(total: int, most: int) -> npt.NDArray[np.int64]:
    """Places of all of `total` posts, or of `most` of more, at even distances."""
    return np.unique(np.linspace(0, total - 1, min(total, most)).astype(np.int64))


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Posts with their true hashtags (n), in the order in which people wrote them.

    groups: (n) the group of each, whose posts are on one side of a split: a post's own group must not vote for it. None
    where each post is a group of its own.
    """

    posts: Posts
    hashtags: list[list[str]]
    groups: list[str] | None = None

    def __len__(self) -> int:
        return len(self.posts)
