"""Training: it learns, it is seeded, and a kill at any epoch changes nothing in the end."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hashgen.training.trained import Trained

from hashgen.training.fit import Data, Epoch, fit, free_running_scores, write_history
from tests.doubles.small_world import small_data, train_section

CPU = torch.device("cpu")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def scored(data: Data, inputs: str, folder: Path) -> float:
    section = train_section(epochs=12, inputs=inputs)
    model, _ = fit(data, section, CPU, folder / f"{inputs}.pt")
    return float(free_running_scores(model, data.val, data, 6)["f1"])


def test_needs_both_inputs_to_write_the_pair(tmp_path: Path) -> None:
    data = small_data(tmp_path, train_section(), train=64, val=16)
    both, image, caption = (scored(data, inputs, tmp_path) for inputs in ("both", "image", "caption"))
    assert both > 0.95
    assert image < 0.8 and caption < 0.8


def test_the_best_epoch_is_kept_and_the_history_tells_all(tmp_path: Path) -> None:
    section = train_section(epochs=4)
    data = small_data(tmp_path, section)
    told: list[Epoch] = []
    model, history = fit(data, section, CPU, tmp_path / "checkpoint.pt", told.append)
    assert told == history and [epoch.epoch for epoch in history] == [1, 2, 3, 4]
    best = max(history, key=lambda epoch: epoch.val_f1)
    assert free_running_scores(model, data.val, data, 6)["f1"] == pytest.approx(best.val_f1)
    assert history[-1].train_loss < history[0].train_loss
    write_history(tmp_path / "history.csv", history)
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines[0].startswith("epoch,train_loss,val_loss,train_bleu4,val_bleu4") and len(lines) == 5


def test_patience_stops(tmp_path: Path) -> None:
    section = train_section(epochs=50, patience=2, learning_rate=1e-9)
    data = small_data(tmp_path, section)
    _, history = fit(data, section, CPU, tmp_path / "checkpoint.pt")
    best = max(history, key=lambda epoch: epoch.val_f1).epoch
    assert len(history) == best + 2 < 50


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [1, 2])
def test_goes_on_after_an_interruption_to_the_same_model(tmp_path: Path, at: int) -> None:
    lstm = {"hidden": 16, "layers": 2, "dropout": 0.3, "batch_norm_momentum": 0.1}
    section = train_section(epochs=3).model_copy(update={"lstm": type(train_section().lstm)(**lstm)})
    data = small_data(tmp_path, section)
    whole, history = fit(data, section, CPU, tmp_path / "whole.pt")

    def kill(epoch: Epoch) -> None:
        if epoch.epoch == at:
            raise Killed

    with pytest.raises(Killed):
        fit(data, section, CPU, tmp_path / "killed.pt", kill)
    model, resumed = fit(data, section, CPU, tmp_path / "killed.pt")
    assert resumed == history
    assert same(model.state_dict(), whole.state_dict())


def test_a_finished_checkpoint_gives_the_model_without_training(tmp_path: Path) -> None:
    section = train_section()
    data = small_data(tmp_path, section)
    model, history = fit(data, section, CPU, tmp_path / "checkpoint.pt")
    told: list[Epoch] = []
    again, same_history = fit(data, section, CPU, tmp_path / "checkpoint.pt", told.append)
    assert not told and same_history == history and same(again.state_dict(), model.state_dict())


def test_another_seed_is_another_model(tmp_path: Path) -> None:
    data = small_data(tmp_path, train_section())
    models = [fit(data, train_section(seed=seed), CPU, tmp_path / f"{seed}.pt")[0] for seed in (1, 2)]
    assert not same(models[0].state_dict(), models[1].state_dict())


def test_means_are_those_of_the_training_posts(tmp_path: Path) -> None:
    section = train_section(epochs=1)
    data = small_data(tmp_path, section)
    model, _ = fit(data, section, CPU, tmp_path / "checkpoint.pt")
    image = torch.from_numpy(data.features.plain[data.train.rows].astype("float32"))
    with torch.inference_mode():
        expected = model.picture_vector(image).mean(0, keepdim=True)
    torch.testing.assert_close(model.picture_mean, expected)
    assert model.caption_mean.any()


def test_save_load_decode(tmp_path: Path) -> None:
    section = train_section(epochs=2, weight_decay=3e-5)
    data = small_data(tmp_path, section)
    model, history = fit(data, section, CPU, tmp_path / "checkpoint.pt")
    folder = tmp_path / "model"
    folder.mkdir()
    Trained(model, data.vocabularies, section, data.features.meta, 2, history[-1].val_f1).save(folder)
    loaded = Trained.load(folder, CPU)
    assert loaded.section == section and loaded.features == data.features.meta
    assert same(loaded.model.state_dict(), model.state_dict())
    assert free_running_scores(loaded.model, data.val, data, 6) == free_running_scores(model, data.val, data, 6)
    assert {path.name for path in folder.iterdir()} == {
        "model.json", "model.safetensors", "words.json", "hashtags.json", "vectors.safetensors", "tokenizer.json",
    }  # fmt: skip


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    code = (
        "import sys, torch; from pathlib import Path\n"
        "from hashgen.training.fit import fit; from hashgen.training.trained import Trained\n"
        "from tests.doubles.small_world import small_data, train_section\n"
        "folder = Path(sys.argv[1]); section = train_section(epochs=1); data = small_data(folder, section)\n"
        "model, _ = fit(data, section, torch.device('cpu'), folder / 'c.pt'); (folder / 'm').mkdir()\n"
        "Trained(model, data.vocabularies, section, data.features.meta, 1, 0.5).save(folder / 'm')\n"
    )
    for name in ("one", "two"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=True)
    for file in (tmp_path / "one" / "m").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / "m" / file.name).read_bytes(), file.name
