"""What evaluate adds around the metrics: the audit, ceilings, the paper's protocol."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from hashgen.training.trained import Trained

from hashgen.params.evaluate import Evaluate
from hashgen.scoring.evaluation import (
    audit_filter,
    ceilings,
    choose_grid,
    cross,
    paper_protocol,
    predict,
    score_predictions,
)
from hashgen.sources.sample.world import WORLD
from hashgen.training.fit import Data, fit
from tests.doubles.small_world import small_data, small_manifest, train_section

CPU = torch.device("cpu")
SECTION = Evaluate(decoding="greedy", beam=3, length_penalty=0.0, bootstrap=20, seed=1)


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
def learnt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Data]:
    folder: Path = tmp_path_factory.mktemp("learnt")
    section = train_section(epochs=12)
    data = small_data(folder, section, train=64, val=16)
    model, history = fit(data, section, CPU, folder / "checkpoint.pt")
    return Trained(model, data.vocabularies, section, data.features.meta, 12, history[-1].val_f1), data


def test_blind_scores_fall_and_beam_agrees_with_the_selector(learnt: tuple[Trained, Data]) -> None:
    trained, data = learnt
    written = predict(trained, data.val, data.features, SECTION)
    assert written.both == written.greedy
    assert (
        predict(trained, data.val, data.features, SECTION.model_copy(update={"decoding": "beam"})).both == written.beam
    )
    found = score_predictions(written, small_manifest(16, "v"), small_manifest(64, "t"), SECTION)
    assert found["both"]["f1"] > 0.95
    assert found["no_image"]["f1"] < 0.8 and found["no_caption"]["f1"] < 0.8


def test_the_papers_protocol_flatters_writing_nothing(learnt: tuple[Trained, Data]) -> None:
    trained, data = learnt
    found = paper_protocol(trained, data.val, data.features, "love", 1)
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


def test_crossing_agrees_with_the_predictions_and_mixes_what_the_parts_say(learnt: tuple[Trained, Data]) -> None:
    trained, data = learnt
    manifest = small_manifest(16, "v")
    places = [0, 3]  # sea and run, wood and rest
    grid = cross(trained, manifest, data.val, data.features, SECTION, places)
    both = predict(trained, data.val, data.features, SECTION).both
    assert list(grid["picture"]) == ["v0", "v0", "v3", "v3"] and list(grid["caption_of"]) == ["v0", "v3", "v0", "v3"]
    assert grid["written"][0] == both[0] and grid["written"][3] == both[3]
    assert set(grid["written"][1]) == {"searest", "sea", "rest", "love"}
    assert set(grid["written"][2]) == {"woodrun", "wood", "run", "love"}
