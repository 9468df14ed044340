"""What evaluate adds around the metrics: the audit, ceilings, the paper's protocol."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hashgen.features.posts import Features, Labelled, Posts
from hashgen.features.store import label
from hashgen.models import Decoding, Ranking
from hashgen.models.habits import Habits
from hashgen.models.lstm import LstmModel
from hashgen.models.plain_neighbours import PlainNeighbours
from hashgen.models.popularity import Popularity
from hashgen.params.baselines import Baselines
from hashgen.params.train import Train
from hashgen.scoring import evaluation
from hashgen.scoring.baselines import baselines, score_baselines
from hashgen.scoring.ceilings import ceilings
from hashgen.scoring.evaluation import (
    Bootstrap,
    Scored,
    compare,
    predict,
    predict_all,
    score,
    score_all,
    scored_posts,
)
from hashgen.scoring.filter_audit import audit_filter
from hashgen.scoring.grid import choose_grid, cross
from hashgen.scoring.protocol import paper_protocol
from hashgen.sources.sample.world import WORLD
from tests.doubles.settings import train_section
from tests.doubles.small_world import small_data, small_manifest, train_lstm, write_features

GREEDY, BEAM = Decoding("greedy", 3, 0.0), Decoding("beam", 3, 0.0)


def truth(**dirt: str | None) -> pd.DataFrame:
    return pd.DataFrame({"id": list(dirt), "dirt": list(dirt.values())})


def rejects(**reasons: str) -> pd.DataFrame:
    return pd.DataFrame({"id": list(reasons), "reason": list(reasons.values())})


def test_the_audit_counts_each_kind_of_mistake() -> None:
    known = truth(clean=None, lost=None, emoji="emoji", slipped="not_english", mistaken="video")
    found = audit_filter(known, ["clean", "slipped"], rejects(lost="emoji", emoji="emoji", mistaken="bad_image"))
    assert found == {
        "posts": 5,
        "dirty": 3,
        "dirty_kept": 1,
        "clean_lost": 1,
        "wrong_reason": 1,
        "by_reason": {"emoji": 1, "video": 1},
    }


def test_no_audit_and_no_ceiling_without_truth() -> None:
    empty = pd.DataFrame({name: [] for name in ("id", "dirt", "scene", "light", "mood")})
    assert audit_filter(empty, ["p"], rejects()) is None
    assert ceilings(empty, small_manifest(4), 6) is None


def test_ceilings_take_the_truth_of_these_posts() -> None:
    # What a policy that must guess takes first is "beach": not these.
    scene, light, mood = "cat", "night", "calm"
    candidates = [hashtag for hashtag, chance in WORLD.candidates(scene, light, mood) if chance > 0.5]
    manifest = pd.DataFrame({"id": ["b", "a"], "hashtags": [candidates, candidates]})
    known = pd.DataFrame({"id": ["a", "b", "c"], "scene": scene, "light": light, "mood": mood})
    found = ceilings(known, manifest, 20)
    assert found is not None
    assert found["both"]["bleu4"] == pytest.approx(1.0) and found["both"]["p_at_1"] == 1.0
    assert found["image"]["bleu4"] < 0.5 and found["caption"]["bleu4"] < 0.5


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> tuple[LstmModel, Scored, Train]:
    folder: Path = tmp_path_factory.mktemp("learnt")
    section = train_section(epochs=12)
    data = small_data(folder, train=64, val=16)
    model = train_lstm(data, section, folder / "checkpoint.pt")
    return model, Scored(data.val, [[] for _ in data.val.hashtags], Habits(data.train.hashtags)), section


def test_blind_scores_fall_and_each_search_is_scored(learnt: tuple[LstmModel, Scored, Train]) -> None:
    model, scored, _ = learnt
    written = predict_all(model, scored, GREEDY)
    assert list(written) == ["both", "no_image", "no_caption", "greedy", "beam"]
    assert written["both"] == written["greedy"]
    by_beam = predict_all(model, scored, BEAM)
    assert by_beam["both"] == by_beam["beam"] == written["beam"] and by_beam["greedy"] == written["greedy"]
    found = score_all(written, scored, Bootstrap(20, 1))
    assert found["both"]["f1"] > 0.95 and found["both"]["p_at_1"] == 1.0
    assert found["no_image"]["f1"] < 0.8 and found["no_caption"]["f1"] < 0.8
    assert set(found["greedy"]) == set(found["beam"]) == {"bleu4", "f1"}
    assert {"facets", "diversity", "f1_ci95"} <= found["both"].keys()


def test_a_model_without_steps_has_no_searches_and_no_paper_protocol(learnt: tuple[LstmModel, Scored, Train]) -> None:
    _, scored, section = learnt
    model = Popularity(scored.labelled.hashtags)
    assert list(predict_all(model, scored, BEAM)) == ["both", "no_image", "no_caption"]
    assert set(paper_protocol(model, scored.labelled, section, "love", 1)) == {"constant", "nothing"}


def test_figures_at_k_are_of_the_ranking_and_all_others_of_what_is_written() -> None:
    class Fixed(Popularity):
        def rank(self, posts: Posts, depth: int, blind: object = None) -> list[Ranking]:
            return [[("right", 2.0), ("wrong", 1.0)]]

        def write(self, posts: Posts, blind: object = None) -> list[list[str]]:
            return [["wrong", "right"]]

    features = Features(np.ones((1, 2), np.float16), np.empty((1, 0, 2), np.float16))
    labelled = Labelled(Posts(features, np.array([0]), ["caption"]), [["right"]])
    scored = Scored(labelled, [[]], Habits([["right"]]))
    said = predict(Fixed([["right"]]), scored)
    found = score(said.written, said.ranked, scored, Bootstrap(0, 1))
    assert found["p_at_1"] == 1.0 and found["facets"]["not_in_caption"]["p_at_1"] == 1.0
    assert found["length"] == 2 and found["precision"] == 0.5


def test_methods_are_compared_by_groups_of_posts() -> None:
    """Of four posts three are one group, so that a resample draws two groups: the difference is 0, a quarter or 1."""
    features = Features(np.ones((4, 2), np.float16), np.empty((4, 0, 2), np.float16))
    posts, right = Posts(features, np.arange(4), ["caption"] * 4), [["right"]] * 4
    one, other = [["right"], ["wrong"], ["wrong"], ["wrong"]], [["wrong"]] * 4
    intervals = []
    for groups in (["a", "b", "b", "b"], None):
        scored = Scored(Labelled(posts, right, groups), [[]] * 4, Habits(right))
        found = compare(one, other, scored, Bootstrap(2000, 1))["p_at_1"]
        assert found["difference"] == 0.25
        intervals.append(found["difference_ci95"])
    # Group a alone, and b alone, are each drawn in a quarter of the resamples; of posts, four right ones are in 1/256.
    assert intervals == [(0.0, 1.0), (0.0, 0.75)]


def test_a_model_and_a_baseline_that_say_the_same_get_the_same_scores(tmp_path: Path) -> None:
    """One scoring path: nearest neighbours as the model and as the baseline."""
    parts = [small_manifest(24, "t"), small_manifest(8, "v")]
    store = write_features(tmp_path, pd.concat(parts, ignore_index=True))
    section = Baselines(neighbours=5, bootstrap=20, seed=1)
    scored, bootstrap = Scored.of(parts[1], parts[0], store), Bootstrap(section.bootstrap, section.seed)
    as_baseline = score_baselines(baselines(parts[0], store, 5), scored, bootstrap)[0]["knn_both"]
    model = PlainNeighbours.of(label(parts[0], store), "both", 5)
    scored = Scored.of(parts[1], parts[0], store)
    assert score_all(predict_all(model, scored, GREEDY), scored, Bootstrap(20, 1))["both"] == as_baseline


def test_the_papers_protocol_flatters_writing_nothing(learnt: tuple[LstmModel, Scored, Train]) -> None:
    model, scored, section = learnt
    found = paper_protocol(model, scored.labelled, section, "love", 1)
    assert found["model"] > 0.9
    # Every post has 4 hashtags of at most 6: 2 of 6 steps are empty against empty.
    assert found["nothing"] == pytest.approx(2 / 6)
    # One hashtag and then nothing: no true one stands first in any post of these, so no more than nothing.
    assert found["constant"] == pytest.approx(2 / 6)


def test_the_grid_takes_unlike_posts_that_the_model_does_not_fail_on() -> None:
    ids = [f"p{number}" for number in range(8)]
    targets = [["a", "b"], ["a", "c"], ["d", "e"], ["d", "b"], ["f", "g"], ["f", "a"], ["h"], ["i"]]
    written = [*targets[:6], ["x"], ["y"]]
    chosen = choose_grid(ids, written, targets)
    assert len(chosen) == 3 and not {6, 7} & set(chosen)
    overlap = [set(targets[one]) & set(targets[other]) for one in chosen for other in chosen if one != other]
    assert not any(overlap)
    order = [5, 2, 7, 0, 3, 6, 1, 4]
    again = choose_grid([ids[n] for n in order], [written[n] for n in order], [targets[n] for n in order])
    assert [ids[order[place]] for place in again] == [ids[place] for place in chosen]


@pytest.mark.parametrize("posts", [1, 2])
def test_a_grid_of_fewer_posts(posts: int) -> None:
    assert sorted(choose_grid(["p", "q"][:posts], [["a"], ["a"]][:posts], [["a"], ["a"]][:posts])) == [*range(posts)]


def test_crossing_agrees_with_the_predictions_and_mixes_what_the_parts_say(
    learnt: tuple[LstmModel, Scored, Train],
) -> None:
    model, scored, _ = learnt
    ids = list(small_manifest(16, "v")["id"])
    places = [0, 3]  # sea and run, wood and rest
    grid = cross(model, ids, scored.labelled.posts, places)
    both = predict(model, scored).written
    assert list(grid["picture"]) == ["v0", "v0", "v3", "v3"] and list(grid["caption_of"]) == ["v0", "v3", "v0", "v3"]
    assert grid["written"][0] == both[0] and grid["written"][3] == both[3]
    assert set(grid["written"][1]) == {"searest", "sea", "rest", "love"}
    assert set(grid["written"][2]) == {"woodrun", "wood", "run", "love"}


def test_of_many_posts_a_part_is_scored_the_same_whatever_comes_after(monkeypatch: pytest.MonkeyPatch) -> None:
    posts = small_manifest(20)
    assert scored_posts(posts) is posts
    monkeypatch.setattr(evaluation, "MOST_SCORED", 5)
    chosen = scored_posts(posts)
    assert chosen["id"].tolist() == ["p0", "p7", "p9", "p11", "p17"] and list(chosen.index) == [0, 1, 2, 3, 4]
    mixed = scored_posts(posts.sample(frac=1, random_state=1))
    assert sorted(mixed["id"]) == sorted(chosen["id"])
    assert len(set(scored_posts(small_manifest(21))["id"]) & set(chosen["id"])) >= 4
