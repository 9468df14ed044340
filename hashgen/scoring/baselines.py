"""What a model must beat: popular hashtags, the hashtags of the nearest training posts, and the seeds as an oracle."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hashgen.features.store import FeatureStore, label
from hashgen.models import Model
from hashgen.models.habits import Habits
from hashgen.models.plain_neighbours import PlainNeighbours
from hashgen.models.popularity import Popularity
from hashgen.params.baselines import Baselines
from hashgen.scoring.evaluation import Bootstrap, Scored, score, score_model


def score_baselines(
    train: pd.DataFrame, posts: pd.DataFrame, features: FeatureStore, section: Baselines
) -> dict[str, dict[str, Any]]:
    """Scores with intervals, facets and diversity of every baseline on `posts`, by its name.

    train, posts: manifests. The seeds are scored only where a post of `posts` has one.
    """
    scored = Scored.of(posts, train, features)
    bootstrap = Bootstrap(section.bootstrap, section.seed)
    models = baselines(train, features, section.neighbours)
    result = {name: score_model(model, scored, bootstrap) for name, model in models.items()}
    if any(scored.seeds):
        result["seeds"] = _score_seeds(scored, bootstrap)
    return result


def baselines(train: pd.DataFrame, features: FeatureStore, neighbours: int) -> dict[str, Model]:
    """The baselines that are models, by name: popularity, knn_image, knn_caption, knn_both."""
    known = label(train, features)
    return {
        "popularity": Popularity(known.hashtags),
        "knn_image": PlainNeighbours(known, "image", neighbours),
        "knn_caption": PlainNeighbours(known, "caption", neighbours),
        "knn_both": PlainNeighbours(known, "both", neighbours),
    }


def _score_seeds(scored: Scored, bootstrap: Bootstrap) -> dict[str, Any]:
    """The oracle's scores. It is no `Model`: no model may know the seeds when a post is written."""
    habits = scored.habits
    rankings = [seeds_first(seeds, habits, scored.depth) for seeds in scored.seeds]
    return score([habits.write(ranking) for ranking in rankings], rankings, scored, bootstrap)


def seeds_first(seeds: Sequence[str], habits: Habits, depth: int) -> list[str]:
    """The hashtags that a post was found under and training has, then popular ones, `depth` in all.

    It shows how much of a score the crawl gives away.
    """
    return habits.fill([seed for seed in seeds if seed in habits.popular], depth)


def best_baseline(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """The name of the baseline with the highest F1@5; the oracle does not count."""
    return max((name for name in scores if name != "seeds"), key=lambda name: scores[name]["f1_at_5"])
