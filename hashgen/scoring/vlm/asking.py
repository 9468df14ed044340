"""Asks the user's model about every post to be scored, and scores what it answers as any other baseline."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd

from hashgen.base.errors import HashgenError
from hashgen.base.progress import progress
from hashgen.features.store import FeatureStore
from hashgen.models.habits import Habits
from hashgen.params.baselines import Baselines, Vlm
from hashgen.scoring.evaluation import Bootstrap, Predictions, Scored, score
from hashgen.scoring.vlm.answer import read_answer
from hashgen.scoring.vlm.client import BudgetSpent, Client
from hashgen.scoring.vlm.memory import Answers, with_answers
from hashgen.scoring.vlm.question import Place, questions


class Unfinished(Exception):
    """The budget is spent before each post is answered. left: posts without an answer, of `posts`."""

    def __init__(self, left: int, posts: int) -> None:
        super().__init__(f"{left:,} of {posts:,} posts are not answered")
        self.left = left
        self.posts = posts


def score_vlm(
    manifests: Mapping[str, pd.DataFrame],
    train: pd.DataFrame,
    features: FeatureStore,
    section: Baselines,
    raw: Path,
    home: Path,
) -> dict[str, tuple[dict[str, Any], Predictions]]:
    """`score` of what `section.vlm` answers, and what it says of each post, by split.

    manifests: the posts of each split. train: of the training posts. Beside the scores: `model`, its name, and
    `unusable`, the number of answers without any hashtag. raw: folder of the raw shards. home: below it answers are
    remembered; a kill loses the one in flight.

    Raises Unfinished when the budget does not reach: scores on some posts would compare with no other method's.
    Raises HashgenError when the server cannot be asked, or a picture is not the one that the filter saw.
    """
    vlm = section.vlm
    assert vlm is not None
    parts = {split: Scored.of(posts, train, features) for split, posts in manifests.items()}
    places = [place for posts in manifests.values() for place in _places(posts)]
    count = next(iter(parts.values())).depth
    with closing(Client(vlm)) as client:
        texts = with_answers(home, lambda answers: ask(places, raw, vlm, count, answers, client))
    bootstrap = Bootstrap(section.bootstrap, section.seed)
    result = {}
    for split, scored in parts.items():
        mine, texts = texts[: len(scored.labelled)], texts[len(scored.labelled) :]
        found = [read_answer(text) for text in mine]
        said = _say(found, scored)
        unusable = sum(not hashtags for hashtags in found)
        scores = score(said.written, said.ranked, scored, bootstrap) | {"unusable": unusable, "model": vlm.model}
        result[split] = scores, said
    return result


def _places(posts: pd.DataFrame) -> list[Place]:
    """All that is known of the posts here: no hashtags, ids, authors or file names."""
    columns = ["caption", "shard", "row", "image_sha256"]
    if missing := [name for name in columns if name not in posts]:
        raise HashgenError(f"manifest: no column {', '.join(missing)}; run the stage split again", stage="split")
    return [Place(caption, shard, int(row), sha256) for caption, shard, row, sha256 in posts[columns].to_numpy()]


def ask(places: Sequence[Place], raw: Path, vlm: Vlm, count: int, answers: Answers, client: Client) -> list[str]:
    """The answer for each post; only what is not known is asked, and remembered at once.

    Raises Unfinished, and HashgenError as `questions` and `Client.ask`.
    """
    keys = [""] * len(places)
    prepared = questions(places, raw, vlm, count)
    for number, question in progress(prepared, total=len(places), unit="pictures", label="baselines"):
        keys[number] = question.key
    # Posts with the same picture and caption are one question.
    unknown = [
        number for key, number in dict(zip(keys, range(len(keys)), strict=True)).items() if not _knows(answers, key)
    ]
    todo = questions([places[number] for number in unknown], raw, vlm, count)
    try:
        for _, question in progress(todo, total=len(unknown), unit="answers", label="baselines: vlm"):
            answers.put(question.key, client.ask(question.body))
    except BudgetSpent:
        raise Unfinished(sum(not _knows(answers, key) for key in keys), len(keys)) from None
    return [answers.get(key) or "" for key in keys]


def _knows(answers: Answers, key: str) -> bool:
    return answers.get(key) is not None


def _say(found: Sequence[Sequence[str]], scored: Scored) -> Predictions:
    """Hashtags of answers, filled up with popular ones."""
    rankings = [scored.habits.fill(hashtags, scored.depth) for hashtags in found]
    return Predictions([write(ranking, scored.habits) for ranking in rankings], rankings)


def write(ranking: Sequence[str], habits: Habits) -> list[str]:
    """`Habits.write` for a ranking with hashtags that training has not: those stand in the middle."""
    return sorted(ranking[: habits.length], key=lambda hashtag: habits.places.get(hashtag, 0.5))
