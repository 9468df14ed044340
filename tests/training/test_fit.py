"""Training: it learns, it is seeded, and a kill at any epoch changes nothing in the end."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from hashgen.params.train import Lstm
from hashgen.training.fit import Data, free_running_scores, ranking_score
from hashgen.training.history import Epoch, best_epoch, write_history
from tests.doubles.settings import train_section
from tests.doubles.small_world import small_examples, train_network


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def scored(data: Data, inputs: str, folder: Path) -> float:
    section = train_section(epochs=12, inputs=inputs)
    model, _ = train_network(data, section, folder / f"{inputs}.pt")
    return float(free_running_scores(model, data.val, data, 6)["f1"])


def test_needs_both_inputs_to_write_the_pair(tmp_path: Path) -> None:
    data = small_examples(tmp_path, train_section(), train=64, val=16)
    both, image, caption = (scored(data, inputs, tmp_path) for inputs in ("both", "image", "caption"))
    assert both > 0.95
    assert image < 0.8 and caption < 0.8


def test_the_best_epoch_is_kept_and_the_history_tells_all(tmp_path: Path) -> None:
    section = train_section(epochs=4)
    data = small_examples(tmp_path, section)
    told: list[Epoch] = []
    model, history = train_network(data, section, tmp_path / "checkpoint.pt", told.append)
    assert told == history and [epoch.epoch for epoch in history] == [1, 2, 3, 4]
    best = best_epoch(history)
    assert free_running_scores(model, data.val, data, 6)["f1"] == pytest.approx(best.val_f1)
    assert ranking_score(model, data, 6) == pytest.approx(best.val_f1_at_5)
    assert best.val_f1_at_5 == max(epoch.val_f1_at_5 for epoch in history)
    assert history[-1].train_loss < history[0].train_loss
    write_history(tmp_path / "history.csv", history)
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines[0].startswith("epoch,train_loss,val_loss,train_bleu4,val_bleu4") and len(lines) == 5


def epoch_of(number: int, f1: float, f1_at_5: float) -> Epoch:
    return Epoch(number, 1, 1, 0, 0, 0, 0, 0, f1, f1_at_5, 0.1)


def test_the_best_epoch_goes_by_f1_at_5_then_f1_then_the_earliest() -> None:
    history = [epoch_of(1, 0.9, 0.4), epoch_of(2, 0.5, 0.6), epoch_of(3, 0.7, 0.6), epoch_of(4, 0.7, 0.6)]
    assert best_epoch(history).epoch == 3
    assert best_epoch(history[:2]).epoch == 2 and best_epoch(history[:1]).epoch == 1


def test_of_many_posts_some_are_ranked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = small_examples(tmp_path, train_section())
    model, _ = train_network(data, train_section(epochs=1), tmp_path / "checkpoint.pt")
    few = dataclasses.replace(data, val=data.val.take(np.array([0, (len(data.val) - 1) // 2, len(data.val) - 1])))
    monkeypatch.setattr("hashgen.training.fit._MOST_RANKED", 3)
    assert ranking_score(model, data, 6) == pytest.approx(ranking_score(model, few, 6))


def test_patience_stops(tmp_path: Path) -> None:
    section = train_section(epochs=50, patience=2, learning_rate=1e-9)
    data = small_examples(tmp_path, section)
    _, history = train_network(data, section, tmp_path / "checkpoint.pt")
    best = best_epoch(history).epoch
    assert len(history) == best + 2 < 50


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [1, 2])
def test_goes_on_after_an_interruption_to_the_same_model(tmp_path: Path, at: int) -> None:
    section = train_section(epochs=3, lstm=Lstm(hidden=16, layers=2, dropout=0.3, batch_norm_momentum=0.1))
    data = small_examples(tmp_path, section)
    whole, history = train_network(data, section, tmp_path / "whole.pt")

    def kill(epoch: Epoch) -> None:
        if epoch.epoch == at:
            raise Killed

    with pytest.raises(Killed):
        train_network(data, section, tmp_path / "killed.pt", kill)
    model, resumed = train_network(data, section, tmp_path / "killed.pt")
    assert resumed == history
    assert same(model.state_dict(), whole.state_dict())


def test_a_finished_checkpoint_gives_the_model_without_training(tmp_path: Path) -> None:
    section = train_section()
    data = small_examples(tmp_path, section)
    model, history = train_network(data, section, tmp_path / "checkpoint.pt")
    told: list[Epoch] = []
    again, same_history = train_network(data, section, tmp_path / "checkpoint.pt", told.append)
    assert not told and same_history == history and same(again.state_dict(), model.state_dict())


def test_another_seed_is_another_model(tmp_path: Path) -> None:
    data = small_examples(tmp_path, train_section())
    models = [train_network(data, train_section(seed=seed), tmp_path / f"{seed}.pt")[0] for seed in (1, 2)]
    assert not same(models[0].state_dict(), models[1].state_dict())


def test_means_are_those_of_the_training_posts(tmp_path: Path) -> None:
    section = train_section(epochs=1)
    data = small_examples(tmp_path, section)
    model, _ = train_network(data, section, tmp_path / "checkpoint.pt")
    image = torch.from_numpy(data.features.plain[data.train.rows].astype("float32"))
    with torch.inference_mode():
        expected = model.picture_vector(image).mean(0, keepdim=True)
    torch.testing.assert_close(model.picture_mean, expected)
    assert model.caption_mean.any()
