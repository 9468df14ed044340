"""What a model must beat: popular hashtags, the hashtags of the nearest training posts, and the seeds as an oracle."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hashgen.features.posts import Labelled
from hashgen.features.store import FeatureStore, label
from hashgen.metrics.ranked import ranked_figures
from hashgen.models import Model
from hashgen.models.habits import Habits
from hashgen.models.neighbours import NeighboursModel
from hashgen.models.plain_neighbours import PlainNeighbours, PlainSearch
from hashgen.models.popularity import Popularity
from hashgen.params.train import Neighbours as Settings
from hashgen.scoring.evaluation import Bootstrap, Predictions, Scored, predict, score

Scores = dict[str, dict[str, Any]]
Said = dict[str, Predictions]

# What the tuned neighbours choose from on the validation posts: how many posts vote, and the power of their weights.
POSTS, POWERS = (10, 20, 40), (1.0, 3.0)
COPY_BONUS = 0.2
# The baseline that no one who writes a post can have.
ORACLE = "seeds"


def score_baselines(models: Mapping[str, Model], scored: Scored, bootstrap: Bootstrap) -> tuple[Scores, Said]:
    """Scores with intervals, facets and diversity of every baseline, and what it said of each post, by its name.

    The seeds are scored only where a post has one.
    """
    said = {name: predict(model, scored) for name, model in models.items()}
    if any(scored.seeds):
        said[ORACLE] = _say_seeds(scored)
    return {name: score(one.written, one.ranked, scored, bootstrap) for name, one in said.items()}, said


def baselines(
    train: pd.DataFrame, features: FeatureStore, neighbours: int, val: Labelled | None = None
) -> dict[str, Model]:
    """The baselines that are models, by name.

    popularity; knn_image, knn_caption, knn_both: plain cosines, not tuned, `neighbours` posts vote. With validation
    posts to choose by also knn_tuned: centred vectors, its settings chosen by F1@5; and knn_copy: the same, and
    hashtags that stand in the caption get a bonus.
    """
    known = label(train, features)
    search = PlainSearch(known.posts, neighbours, ("image", "caption", "both"))
    models: dict[str, Model] = {
        "popularity": Popularity(known.hashtags),
        "knn_image": PlainNeighbours(known, "image", search),
        "knn_caption": PlainNeighbours(known, "caption", search),
        "knn_both": PlainNeighbours(known, "both", search),
    }
    if val is None:
        return models
    tuned = tune(known, val)
    copying = tuned.settings.model_copy(update={"copy_bonus": COPY_BONUS})
    return models | {"knn_tuned": tuned, "knn_copy": NeighboursModel.learn(known, copying, "both", tuned)}


def tune(train: Labelled, val: Labelled) -> NeighboursModel:
    """Neighbours with the settings of `POSTS` and `POWERS` that are best by F1@5 on the validation posts."""
    models: list[NeighboursModel] = []
    for posts, power in itertools.product(POSTS, POWERS):
        settings = Settings(posts=posts, power=power, copy_bonus=0.0)
        models.append(NeighboursModel.learn(train, settings, "both", models[0] if models else None))

    def f1_at_5(model: NeighboursModel) -> float:
        rankings = [[hashtag for hashtag, _ in ranking] for ranking in model.rank(val.posts, 5)]
        return float(ranked_figures(rankings, val.hashtags)["f1_at_5"].mean())

    return max(models, key=f1_at_5)


def _say_seeds(scored: Scored) -> Predictions:
    """What the oracle says. It is no `Model`: no model may know the seeds when a post is written."""
    habits = scored.habits
    rankings = [seeds_first(seeds, habits, scored.depth) for seeds in scored.seeds]
    return Predictions([habits.write(ranking) for ranking in rankings], rankings)


def seeds_first(seeds: Sequence[str], habits: Habits, depth: int) -> list[str]:
    """The hashtags that a post was found under and training has, then popular ones, `depth` in all.

    It shows how much of a score the crawl gives away.
    """
    return habits.fill([seed for seed in seeds if seed in habits.popular], depth)


def best_baseline(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """The name of the baseline with the highest F1@5; the oracle does not count."""
    return max((name for name in scores if name != ORACLE), key=lambda name: scores[name]["f1_at_5"])
