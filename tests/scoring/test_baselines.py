"""Baselines held against brute force and figures by hand; nothing of validation and test may reach a prediction."""

import dataclasses
import itertools
import json
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from hashgen.base.errors import HashgenError
from hashgen.features.posts import Inputs
from hashgen.features.store import FeatureStore, label
from hashgen.metrics.scores import scores
from hashgen.models import plain_neighbours as neighbours
from hashgen.models.habits import Habits
from hashgen.models.neighbours import NeighboursModel
from hashgen.models.plain_neighbours import Nearest, PlainNeighbours
from hashgen.params.baselines import Baselines
from hashgen.params.train import Neighbours as Settings
from hashgen.scoring import baselines as scoring
from hashgen.scoring.baselines import baselines, seeds_first
from hashgen.scoring.evaluation import Bootstrap, Scored, predict
from hashgen.text.words import tokenise
from stages.baselines import main
from tests.doubles.settings import small_recipe
from tests.properties import examples

ROOT = Path(__file__).resolve().parents[2]
SECTION = Baselines(neighbours=3, bootstrap=10, seed=1)
ERROR = 5e-5  # of similarities in float32, standardised ones of nearly equal pictures among them
WORDS = ("pizza", "salad", "sea", "run", "the", "slow")
TAGS = [f"tag{number:02d}" for number in range(16)]


NAMES = ("popularity", "knn_image", "knn_caption", "knn_both", "knn_tuned", "knn_copy")
KNN: dict[str, Inputs] = {"knn_image": "image", "knn_caption": "caption", "knn_both": "both"}


def nearest_posts(train: pd.DataFrame, asked: pd.DataFrame, features: FeatureStore, k: int) -> dict[str, list[Nearest]]:
    """The nearest training posts of each post, by each of the neighbours' models."""
    known, posts = label(train, features), label(asked, features).posts
    return {name: PlainNeighbours.of(known, inputs, k).nearest(posts) for name, inputs in KNN.items()}


def rank_all(train: pd.DataFrame, asked: pd.DataFrame, features: FeatureStore, k: int) -> dict[str, list[list[str]]]:
    """The ranking of every baseline for each post."""
    scored = Scored.of(asked, train, features)
    ranked = {name: predict(model, scored).ranked for name, model in baselines(train, features, k).items()}
    if any(scored.seeds):
        ranked["seeds"] = [seeds_first(seeds, scored.habits, scored.depth) for seeds in scored.seeds]
    return ranked


def score_baselines(
    train: pd.DataFrame, asked: pd.DataFrame, features: FeatureStore, section: Baselines
) -> dict[str, dict[str, Any]]:
    models = baselines(train, features, section.neighbours)
    bootstrap = Bootstrap(section.bootstrap, section.seed)
    return scoring.score_baselines(models, Scored.of(asked, train, features), bootstrap)[0]


def habits_of(train: pd.DataFrame) -> Habits:
    return Habits(list(train["hashtags"]))


def posts(prefix: str, rows: list[tuple[str, list[str]]], seeds: list[list[str]] | None = None) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [f"{prefix}{number}" for number in range(len(rows))],
            "caption": [caption for caption, _ in rows],
            "hashtags": [hashtags for _, hashtags in rows],
            "seed_hashtags": [[] for _ in rows] if seeds is None else seeds,
        }
    )


def store(folder: Path, ids: list[str], plain: np.ndarray) -> FeatureStore:
    """A feature store whose rows stand in another order than the posts."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "plain.npy", plain[::-1].astype(np.float16))
    np.save(folder / "views.npy", np.zeros((len(ids), 0, plain.shape[1]), np.float16))
    pq.write_table(pa.table({"id": ids[::-1]}), folder / "ids.parquet")
    (folder / "features.json").write_text(json.dumps(dataclasses.asdict(small_recipe(dim=plain.shape[1], views=0))))
    return FeatureStore.open(folder)


def random_world(
    folder: Path, seed: int, train: int = 23, asked: int = 9
) -> tuple[pd.DataFrame, pd.DataFrame, FeatureStore]:
    rng = np.random.default_rng(seed)

    def rows(count: int) -> list[tuple[str, list[str]]]:
        return [
            (" ".join(rng.choice(WORDS, rng.integers(1, 5))), list(rng.choice(TAGS, rng.integers(1, 7), replace=False)))
            for _ in range(count)
        ]

    parts = posts("t", rows(train)), posts("q", rows(asked))
    ids = [*parts[0]["id"], *parts[1]["id"]]
    # Few distinct values, so that pictures that are equally near are common.
    return *parts, store(folder, ids, rng.integers(0, 3, (len(ids), 3)))


def test_popularity_goes_by_posts_then_alphabetically() -> None:
    train = posts("t", [("", ["b", "z"]), ("", ["b", "a"]), ("", ["c", "a", "z"])])
    assert list(habits_of(train).popular) == ["a", "b", "z", "c"]


@pytest.mark.parametrize(("lengths", "written"), [([1, 2], 2), ([1, 1, 2], 1), ([3, 4, 4], 4), ([2], 2)])
def test_written_length_is_the_rounded_mean(lengths: list[int], written: int) -> None:
    assert habits_of(posts("t", [("", TAGS[:length]) for length in lengths])).length == written


# love in five posts, food in four, and so on.
POPULAR = Habits([["love", "food", "sea", "run", "odd"][:count] for count in range(1, 6)])


def vote(nearest: Nearest, hashtags: list[list[str]], depth: int) -> list[str]:
    return [hashtag for hashtag, _ in neighbours.vote(nearest, hashtags, POPULAR, depth)]


def test_votes_add_up_and_ties_go_by_frequency() -> None:
    hashtags = [["odd", "run"], ["run", "sea"], ["sea", "odd", "food"]]
    # odd 5 + 3, run 5 + 4, sea 4 + 3, food 3; then love, which no neighbour has.
    assert vote([(0, 5), (1, 4), (2, 3)], hashtags, 10) == ["run", "odd", "sea", "food", "love"]
    # All four are equal: the order is that of the frequency.
    assert vote([(0, 5), (2, 5)], [["run", "sea"], [], ["odd", "food"]], 4) == ["food", "sea", "run", "odd"]
    assert vote([], hashtags, 2) == ["love", "food"]
    assert vote([(0, 5)], hashtags, 1) == ["run"]


def test_seeds_come_first_if_training_has_them() -> None:
    assert seeds_first(["sea", "unheard", "odd", "sea"], POPULAR, 4) == ["sea", "odd", "love", "food"]
    assert seeds_first(["sea", "odd"], POPULAR, 1) == ["sea"]
    assert seeds_first([], POPULAR, 2) == ["love", "food"]


def cosine(one: list[float], other: list[float]) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    lengths = math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))
    return product / lengths if lengths else 0.0


def tfidf(captions: list[str], caption: str) -> dict[str, float]:
    """Count times ln((1 + n) / (1 + posts with the token)) + 1, the smooth idf of scikit-learn."""
    document_counts = Counter(token for one in captions for token in set(tokenise(one)))
    return {
        token: count * (math.log((1 + len(captions)) / (1 + document_counts[token])) + 1)
        for token, count in Counter(tokenise(caption)).items()
        if token in document_counts
    }


def standardised(values: list[float]) -> list[float]:
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    return [(value - mean) / deviation if deviation > 1e-6 else 0.0 for value in values]


def brute_force(train: pd.DataFrame, asked: pd.DataFrame, features: FeatureStore) -> dict[str, list[list[float]]]:
    """Similarity of each post to every training post."""
    captions = list(train["caption"])
    known = [tfidf(captions, caption) for caption in captions]
    pictures = [features.plain[features.rows([other])[0]].tolist() for other in train["id"]]
    found: dict[str, list[list[float]]] = {"knn_image": [], "knn_caption": [], "knn_both": []}
    for post, caption in zip(asked["id"], asked["caption"], strict=True):
        mine, words = features.plain[features.rows([post])[0]].tolist(), tfidf(captions, caption)
        tokens = sorted({token for one in [words, *known] for token in one})
        by_image = [cosine(picture, mine) for picture in pictures]
        by_caption = [cosine([words.get(t, 0) for t in tokens], [one.get(t, 0) for t in tokens]) for one in known]
        found["knn_image"].append(by_image)
        found["knn_caption"].append(by_caption)
        both = zip(standardised(by_image), standardised(by_caption), strict=True)
        found["knn_both"].append([a + b for a, b in both])
    return found


@examples(25)
@given(
    seed=st.integers(0, 10**6), k=st.integers(1, 30), cells=st.sampled_from([1, 100, 2**25]), block=st.integers(1, 9)
)
def test_neighbours_equal_brute_force_in_chunks_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, seed: int, k: int, cells: int, block: int
) -> None:
    train, asked, features = random_world(tmp_path_factory.mktemp("store"), seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_CELLS", cells)
        patch.setattr(neighbours, "_BLOCK", block)
        got = nearest_posts(train, asked, features, k)
    for name, expected in brute_force(train, asked, features).items():
        assert len(got[name]) == len(asked)
        for found, similar in zip(got[name], expected, strict=True):
            rows = [row for row, _ in found]
            assert [weight / 1e6 for _, weight in found] == pytest.approx([similar[row] for row in rows], abs=ERROR)
            assert found == sorted(found, key=lambda one: (-one[1], one[0]))
            assert len(set(rows)) == len(rows)
            assert sum(value > ERROR for value in similar) <= len(rows) or len(rows) == k
            assert len(rows) <= min(k, sum(value > -ERROR for value in similar))
            # None that is left out is nearer than the farthest that is in.
            left_out = [value for row, value in enumerate(similar) if row not in rows]
            assert max(left_out, default=0) <= (min(similar[row] for row in rows) if len(rows) == k else 0) + ERROR


def test_of_equally_near_posts_the_earlier_is_nearer(tmp_path: Path) -> None:
    train = posts("t", [("sea", ["a"])] * 5)
    asked = posts("q", [("sea", ["a"])])
    features = store(tmp_path, [*train["id"], "q0"], np.ones((6, 4)))
    for name, weight in (("knn_image", 1e6), ("knn_caption", 1e6)):
        found = nearest_posts(train, asked, features, 3)[name][0]
        assert [row for row, _ in found] == [0, 1, 2]
        assert [one for _, one in found] == pytest.approx([weight] * 3, rel=1e-5)
    # Where all are equal, neither input tells posts apart.
    assert nearest_posts(train, asked, features, 3)["knn_both"] == [[]]


def test_a_post_like_no_other_gets_what_is_popular(tmp_path: Path) -> None:
    train = posts("t", [("sea", ["a", "b"]), ("run", ["b"])])
    asked = posts("q", [("unheard", ["z"])])
    features = store(tmp_path, ["t0", "t1", "q0"], np.array([[1, 0], [1, 0], [0, 0]]))
    assert nearest_posts(train, asked, features, 5) == {name: [[]] for name in ("knn_image", "knn_caption", "knn_both")}
    assert rank_all(train, asked, features, 5) == {
        name: [["b", "a"]] for name in ("popularity", "knn_image", "knn_caption", "knn_both")
    }


def test_training_captions_without_a_word_are_like_no_caption(tmp_path: Path) -> None:
    train, asked = posts("t", [("", ["a"]), ("", ["b", "a"])]), posts("q", [("sea", ["z"])])
    features = store(tmp_path, ["t0", "t1", "q0"], np.array([[1, 0], [0, 1], [1, 0]]))
    got = nearest_posts(train, asked, features, 5)
    assert got["knn_caption"] == [[]] and got["knn_image"] == [[(0, 1_000_000)]]


def test_neighbours_vote_by_picture_by_caption_and_by_both(tmp_path: Path) -> None:
    train = posts("t", [("sea", ["picture", "x"]), ("run", ["caption", "x"]), ("run", ["far"])])
    asked = posts("q", [("run", ["z"])])
    plain = np.array([[1, 0], [0.6, 0.8], [0, 1], [1, 0]])
    got = rank_all(train, asked, store(tmp_path, ["t0", "t1", "t2", "q0"], plain), 2)
    # By picture 1.0 and 0.6: x 1.6, picture 1.0, caption 0.6. By caption 1 and 1. Standardised: pictures 1.14, 0.16,
    # -1.30, captions -1.41, 0.71, 0.71. By both only t1 is above 0 (0.87): its hashtags, then popular ones.
    assert got["knn_image"] == [["x", "picture", "caption", "far"]]
    assert got["knn_caption"] == [["x", "caption", "far", "picture"]]
    assert got["knn_both"] == [["x", "caption", "far", "picture"]]


def test_what_is_written_stands_in_the_order_of_training_posts() -> None:
    train = posts("t", [("sea", ["first", "mid", "last"]), ("run", ["first", "last"]), ("run", ["last"])])
    habits = habits_of(train)
    assert habits.places == {"first": 0.0, "mid": 0.5, "last": pytest.approx(2 / 3)}
    assert habits.length == 2 and habits.write(["last", "first", "mid"]) == ["first", "last"]


def test_rankings_are_long_without_repeats_and_from_training(tmp_path: Path) -> None:
    train, asked, features = random_world(tmp_path, 3)
    known = {hashtag for hashtags in train["hashtags"] for hashtag in hashtags}
    asked["seed_hashtags"] = [["unheard", TAGS[0]] for _ in range(len(asked))]
    rankings = rank_all(train, asked, features, 3)
    assert list(rankings) == ["popularity", "knn_image", "knn_caption", "knn_both", "seeds"]
    for ranked in rankings.values():
        assert len(ranked) == len(asked)
        for ranking in ranked:
            assert len(ranking) == len(set(ranking)) == min(10, len(known))
            assert set(ranking) <= known


def test_rankings_reach_the_written_length(tmp_path: Path) -> None:
    train = posts("t", [("sea", TAGS[:13]), ("run", TAGS[1:14])])
    features = store(tmp_path, ["t0", "t1", "q0"], np.ones((3, 2)))
    asked = posts("q", [("sea", ["z"])])
    assert all(len(ranked[0]) == 13 for ranked in rank_all(train, asked, features, 1).values())
    assert all(one["length"] == 13 for one in score_baselines(train, asked, features, SECTION).values())


@examples(10)
@given(seed=st.integers(0, 10**6))
def test_nothing_of_the_scored_posts_hashtags_reaches_a_prediction(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    train, asked, features = random_world(tmp_path_factory.mktemp("store"), seed)
    before = rank_all(train, asked, features, 4)
    planted = pd.Series([["leak", *reversed(hashtags)] for hashtags in asked["hashtags"]])
    other = asked.assign(hashtags=planted)
    assert rank_all(train, other, features, 4) == before
    # Nor does a prediction for one post depend on which others are asked about.
    alone = rank_all(train, asked.iloc[2:3].reset_index(drop=True), features, 4)
    assert {name: ranked[0] for name, ranked in alone.items()} == {name: ranked[2] for name, ranked in before.items()}


def test_captions_of_the_scored_posts_do_not_weigh_words(tmp_path: Path) -> None:
    train, asked, features = random_world(tmp_path, 5)
    twice = pd.concat([asked.head(1), asked.tail(4).assign(caption="sea sea unheard")], ignore_index=True)
    assert (
        nearest_posts(train, twice, features, 4)["knn_caption"][0]
        == nearest_posts(train, asked, features, 4)["knn_caption"][0]
    )


def test_oracle_is_scored_only_where_seeds_are_known(tmp_path: Path) -> None:
    train, asked, features = random_world(tmp_path, 1)
    assert "seeds" not in score_baselines(train, asked, features, SECTION)
    asked["seed_hashtags"] = [[hashtags[0]] for hashtags in asked["hashtags"]]
    got = score_baselines(train, asked, features, SECTION)
    assert got["seeds"]["p_at_1"] == 1  # the crawl gives the label away
    assert got["popularity"]["facets"]["not_seed"]["share"] < 1


def test_what_is_rare_and_what_there_is_to_write_is_counted_in_training(tmp_path: Path) -> None:
    train = posts("t", [("sea", ["often"])] * 10 + [("sea", ["seldom"])] * 2)
    asked = posts("q", [("sea", ["often", "unheard"])] * 3)
    features = store(tmp_path, [*train["id"], *asked["id"]], np.ones((15, 2)))
    got = score_baselines(train, asked, features, SECTION)["popularity"]
    assert got["facets"]["rare"]["share"] == 1 / 2
    assert got["diversity"]["vocabulary_share"] == 1 / 2


def test_scores_are_of_the_ranking_at_k_and_of_the_written_head_elsewhere(tmp_path: Path) -> None:
    train, asked, features = random_world(tmp_path, 2)
    rankings = rank_all(train, asked, features, SECTION.neighbours)["knn_both"]
    habits = habits_of(train)
    assert habits.length < 10
    got = score_baselines(train, asked, features, SECTION)["knn_both"]
    targets = list(asked["hashtags"])
    assert got["r_at_10"] == scores(rankings, targets)["r_at_10"]
    written = scores([habits.write(ranking) for ranking in rankings], targets)
    for name in ("length", "precision", "recall", "f1", "bleu1", "bleu4"):
        assert got[name] == written[name]
    assert got["length"] == habits.length
    assert {"facets", "diversity", "f1_ci95", "bleu4_ci95"} <= got.keys()


def test_tuned_neighbours_are_the_best_on_validation_posts_and_the_copying_ones_differ_in_the_bonus(
    tmp_path: Path,
) -> None:
    train, val, features = random_world(tmp_path, 7, train=60, asked=30)
    known, asked = label(train, features), label(val, features)
    found = {}
    for number, power in itertools.product((10, 20, 40), (1.0, 3.0)):
        settings = Settings(posts=number, power=power, copy_bonus=0.0)
        ranked = [
            [tag for tag, _ in one] for one in NeighboursModel.learn(known, settings, "both").rank(asked.posts, 5)
        ]
        found[settings.posts, settings.power] = scores(ranked, asked.hashtags)["f1_at_5"]
    best = max(found, key=lambda one: found[one])
    assert found[best] > min(found.values())
    models = baselines(train, features, 3, asked)
    assert tuple(models) == NAMES
    tuned, copying = models["knn_tuned"], models["knn_copy"]
    assert isinstance(tuned, NeighboursModel) and isinstance(copying, NeighboursModel)
    assert tuned.settings == Settings(posts=best[0], power=best[1], copy_bonus=0.0)
    assert copying.settings == Settings(posts=best[0], power=best[1], copy_bonus=0.2)


def stage_world(folder: Path) -> dict[str, Path]:
    """Arguments of the stage for a world in which a seed is known."""
    train, test, _ = random_world(folder / "features", 4, train=30, asked=12)
    test["seed_hashtags"] = [[hashtags[0]] for hashtags in test["hashtags"]]
    manifest = folder / "manifest"
    manifest.mkdir()
    for name, frame in (("train", train), ("val", test.head(6)), ("test", test.tail(6))):
        frame.to_parquet(manifest / f"{name}.parquet", index=False)
    yaml = YAML()
    document = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    document["baselines"].update({"neighbours": 3, "bootstrap": 10})
    with (folder / "params.yaml").open("w", encoding="utf-8") as stream:
        yaml.dump(document, stream)
    paths = {name: folder / name for name in ("manifest", "features")}
    return paths | {
        "metrics": folder / "metrics" / "baselines.json",
        "predictions": folder / "baselines.parquet",
        "params": folder / "params.yaml",
    }


def test_stage_writes_scores_of_every_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = stage_world(tmp_path)
    main(**world)
    got = json.loads(world["metrics"].read_text())
    assert list(got) == ["val", "test", "written_length", "bleu_signature"]
    for split in ("val", "test"):
        assert list(got[split]) == [*NAMES, "seeds"]
        for scored in got[split].values():
            assert scored["posts"] == 6
            assert scored["p_at_1_ci95"][0] <= scored["p_at_1"] <= scored["p_at_1_ci95"][1]
    best = max(NAMES, key=lambda name: got["val"][name]["f1_at_5"])
    figures = got["test"][best]
    line = capsys.readouterr().out
    assert line.startswith(f"baselines: best by validation F1@5: {best}; on test P@1 {figures['p_at_1']:.3f}")
    assert f"F1@5 {figures['f1_at_5']:.3f}, BLEU-4 {figures['bleu4']:.3f}" in line


@pytest.mark.slow
def test_stage_writes_the_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    world = stage_world(tmp_path)
    written = []
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "stages.baselines"]
        for name, path in world.items():
            command += [f"--{name}", str(path)]
        subprocess.run(command, check=True, cwd=ROOT, env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"})
        written.append(world["metrics"].read_bytes())
    assert written[0] == written[1]


def test_stage_leaves_the_old_metrics_when_it_fails_while_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = stage_world(tmp_path)
    world["metrics"].parent.mkdir()
    world["metrics"].write_text("old")

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        main(**world)
    assert [path.name for path in world["metrics"].parent.iterdir()] == ["baselines.json"]
    assert world["metrics"].read_text() == "old" and not world["predictions"].exists()


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("manifest/val.parquet", r"val\.parquet: no such file; the stage split creates it"),
        ("features/plain.npy", r"plain\.npy: no such file; the stage featurize creates it"),
    ],
)
def test_stage_names_a_missing_input(tmp_path: Path, missing: str, message: str) -> None:
    world = stage_world(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(HashgenError, match=message):
        main(**world)
    assert not world["metrics"].exists()


def test_stage_names_posts_without_features(tmp_path: Path) -> None:
    world = stage_world(tmp_path)
    test = pd.read_parquet(world["manifest"] / "test.parquet")
    test.assign(id="stranger").to_parquet(world["manifest"] / "test.parquet", index=False)
    with pytest.raises(HashgenError, match="missing for post stranger"):
        main(**world)


def test_stage_does_not_import_torch() -> None:
    code = "import sys, stages.baselines; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
