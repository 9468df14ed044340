"""The transformer: hashtags have no order, padding has no weight, and a kill changes nothing in the end."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hashgen.features.posts import Blind, Labelled
from hashgen.metrics.ranked import ranked_figures
from hashgen.metrics.written import written_scores
from hashgen.models import Data, Place
from hashgen.models.sequence import sizes_of
from hashgen.models.transformer import TransformerModel, TransformerNetwork, set_loss
from hashgen.params.train import Train
from hashgen.text.vocabulary import PAD_ID, SPECIALS
from hashgen.training.dataset import Batch, batches, make_examples
from hashgen.training.history import Epoch, best_epoch
from tests.doubles.settings import train_section
from tests.doubles.small_world import small_data
from tests.properties import examples

CPU = torch.device("cpu")


def section_with(epochs: int = 3, **changes: object) -> Train:
    """The tiny settings but for `changes` of the transformer's block."""
    section = train_section(model="transformer", epochs=epochs)
    assert section.transformer is not None
    return section.model_copy(update={"transformer": section.transformer.model_copy(update=changes)})


def network_and_batch(folder: Path, section: Train | None = None) -> tuple[TransformerNetwork, Batch]:
    section = section or section_with()
    data = small_data(folder)
    torch.manual_seed(1)
    network = TransformerModel.build(sizes_of(data.vocabularies, 8), section)
    posts = make_examples(data.train.posts, data.vocabularies, 16, 6, data.train.hashtags)
    return network.eval(), next(batches(posts, data.train.posts.features, 6, CPU))


def learn(data: Data, section: Train, checkpoint: Path, **place: object) -> TransformerModel:
    return TransformerModel.fit(data, section, Place(CPU, checkpoint, **place))  # type: ignore[arg-type]


def same(one: TransformerModel, other: TransformerModel) -> bool:
    states = one.network.state_dict(), other.network.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@examples(50)
@given(st.lists(st.integers(len(SPECIALS), 11), min_size=1, unique=True), st.randoms(use_true_random=False))
def test_the_order_of_hashtags_leaves_the_loss_unchanged(hashtags: list[int], random: object) -> None:
    logits = torch.randn(1, 8, generator=torch.Generator().manual_seed(len(hashtags)))
    shuffled = list(hashtags)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    loss = set_loss(logits, torch.tensor([[*hashtags, 2]]))
    assert torch.equal(loss, set_loss(logits, torch.tensor([[*shuffled, 2, PAD_ID, PAD_ID]])))
    expected = -logits.log_softmax(1)[0, [number - len(SPECIALS) for number in hashtags]].mean()
    torch.testing.assert_close(loss, expected)


def test_sure_of_the_right_hashtags_the_loss_is_their_entropy() -> None:
    logits = torch.tensor([[50.0, 50.0, 0.0, 0.0]])
    assert float(set_loss(logits, torch.tensor([[4, 5]]))) == pytest.approx(math.log(2), abs=1e-6)
    assert float(set_loss(logits, torch.tensor([[4]]))) == pytest.approx(math.log(2), abs=1e-6)
    assert float(set_loss(logits, torch.tensor([[6, 7]]))) == pytest.approx(50 + math.log(2), abs=1e-4)


def test_training_posts_in_another_order_of_hashtags_give_the_same_network(tmp_path: Path) -> None:
    data = small_data(tmp_path)
    turned = Labelled(data.train.posts, [hashtags[::-1] for hashtags in data.train.hashtags])
    section = section_with(epochs=2).model_copy(update={"hashtag_length": 2})
    one = learn(data, section, tmp_path / "one.pt")
    other = learn(Data(turned, data.val, data.vocabularies), section, tmp_path / "other.pt")
    assert same(one, other)
    assert [ranking[0][0] for ranking in one.rank(data.val.posts, 3)]


def test_hashtag_vectors_start_from_the_vocabulary(tmp_path: Path) -> None:
    data = small_data(tmp_path)
    model = learn(data, section_with(epochs=1, learning_rate=1e-12), tmp_path / "c.pt")
    for weights, vectors in (
        (model.network.hashtag_embedding.weight, data.vocabularies.hashtag_vectors),
        (model.network.word_embedding.weight, data.vocabularies.word_vectors),
    ):
        np.testing.assert_allclose(weights.detach().numpy(), vectors, atol=1e-6)


def test_padding_of_captions_changes_nothing(tmp_path: Path) -> None:
    network, batch = network_and_batch(tmp_path)
    longer = torch.nn.functional.pad(batch.words, (0, 7))
    torch.testing.assert_close(network(batch.picture, longer), network(batch.picture, batch.words))


def test_the_order_of_words_is_seen(tmp_path: Path) -> None:
    network, batch = network_and_batch(tmp_path)
    turned = batch.words[:1, : int(batch.lengths[0])].flip(1)
    assert not torch.allclose(network(batch.picture[:1], turned), network(batch.picture[:1], batch.words[:1]))


@pytest.mark.parametrize("blind", ["image", "caption"])
def test_the_mean_stands_in_for_what_is_not_seen(tmp_path: Path, blind: Blind) -> None:
    data = small_data(tmp_path)
    model = learn(data, section_with(epochs=1), tmp_path / "c.pt")
    network = model.network.eval()
    posts = model.examples(data.train.posts, data.train.hashtags)
    batch = next(batches(posts, data.train.posts.features, 64, CPU))
    with torch.inference_mode():
        regions = network.picture_regions(batch.picture).mean(0, keepdim=True)
        words = network.caption_words(batch.words)[batch.words != PAD_ID].mean(0).view(1, 1, -1)
        blinded, plain = network(batch.picture, batch.words, blind), network(batch.picture, batch.words)
    torch.testing.assert_close(network.picture_mean, regions)
    torch.testing.assert_close(network.caption_mean, words)
    assert not torch.allclose(blinded, plain)


def test_the_best_epoch_is_kept_and_patience_stops(tmp_path: Path) -> None:
    data = small_data(tmp_path)
    section = section_with(epochs=50, learning_rate=1e-9).model_copy(update={"patience": 2})
    told: list[Epoch] = []
    model = learn(data, section, tmp_path / "c.pt", on_epoch=told.append)
    assert told == model.history and model.epoch == best_epoch(told).epoch
    assert len(told) == model.epoch + 2 < 50
    best = told[model.epoch - 1]
    written = model.write(data.val.posts)
    assert written_scores(written, data.val.hashtags)["f1"] == pytest.approx(best.val_f1)
    rankings = [[hashtag for hashtag, _ in one] for one in model.rank(data.val.posts, 5)]
    assert ranked_figures(rankings, data.val.hashtags)["f1_at_5"].mean() == pytest.approx(best.val_f1_at_5)


def test_the_rate_rises_and_falls_to_nothing(tmp_path: Path) -> None:
    told: list[Epoch] = []
    data = small_data(tmp_path, train=40)
    learn(data, section_with(epochs=4, warm_up=0.25), tmp_path / "c.pt", on_epoch=told.append)
    rates = [epoch.learning_rate for epoch in told]
    assert rates[0] == pytest.approx(1e-2, rel=0.2) and rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [1, 2])
def test_after_a_kill_it_goes_on_to_the_same_model(tmp_path: Path, at: int) -> None:
    data, section = small_data(tmp_path), section_with(epochs=3, dropout=0.3)
    whole = learn(data, section, tmp_path / "whole.pt")

    def kill(epoch: Epoch) -> None:
        if epoch.epoch == at:
            raise Killed

    with pytest.raises(Killed):
        learn(data, section, tmp_path / "killed.pt", on_epoch=kill)
    told: list[Epoch] = []
    resumed = learn(data, section, tmp_path / "killed.pt", on_epoch=told.append)
    assert len(told) == 3 - at and resumed.history == whole.history
    assert same(resumed, whole)


def test_a_damaged_checkpoint_starts_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, section = small_data(tmp_path), section_with(epochs=1)
    whole = learn(data, section, tmp_path / "whole.pt")
    (tmp_path / "damaged.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:100])
    assert same(learn(data, section, tmp_path / "damaged.pt"), whole)
    assert "damaged" in capsys.readouterr().err


def test_learns_one_batch_by_heart(tmp_path: Path) -> None:
    network, batch = network_and_batch(tmp_path)
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.01)
    for _ in range(60):
        optimiser.zero_grad()
        loss = set_loss(network(batch.picture, batch.words), batch.targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert loss < math.log(4) + 0.05  # four hashtags a post: the entropy of the targets is the least there is


def test_the_width_is_a_multiple_of_the_heads() -> None:
    section = train_section()
    assert section.transformer is not None
    with pytest.raises(ValidationError, match="multiple of heads"):
        type(section.transformer)(**(section.transformer.model_dump() | {"width": 18, "heads": 4}))
