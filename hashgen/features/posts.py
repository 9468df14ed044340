"""Posts as models see them: picture features and captions, with the true hashtags apart."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

# What a model reads of a post, and what it is made blind to when it is scored.
Inputs = Literal["both", "image", "caption"]
Blind = Literal["image", "caption"]


@dataclasses.dataclass(frozen=True)
class Features:
    """Picture features in rows.

    plain: (n, dim) float16, the pictures unaugmented. views: (n, views, dim) float16, the augmented ones; views may
    be 0.
    """

    plain: npt.NDArray[np.float16]
    views: npt.NDArray[np.float16]

    @property
    def dim(self) -> int:
        """Length of a feature vector."""
        return int(self.plain.shape[1])


@dataclasses.dataclass(frozen=True)
class Posts:
    """What a model may know of posts when it writes hashtags for them, and nothing else.

    features: of these posts, and perhaps of others. rows: (n,) int64, the row of each post in them. captions: (n),
    cleaned, hashtags cut.
    """

    features: Features
    rows: npt.NDArray[np.int64]
    captions: list[str]

    def __len__(self) -> int:
        return len(self.rows)

    def pair(self, pictures: Sequence[int], captions: Sequence[int]) -> "Posts":
        """New posts: the pictures of the posts at the places `pictures` with the captions of those at `captions`."""
        return Posts(self.features, self.rows[np.array(pictures, np.int64)], [self.captions[post] for post in captions])


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Posts with their true hashtags (n), in the order in which people wrote them."""

    posts: Posts
    hashtags: list[list[str]]

    def __len__(self) -> int:
        return len(self.posts)
