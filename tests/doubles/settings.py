"""Parameters and a recipe for tests of models, without torch."""

from hashgen.features.recipe import Recipe
from hashgen.params import read_section
from hashgen.params.train import Attention, Classifier, Ensemble, Lstm, Neighbours, Ranker, Train, Transformer
from tests import ROOT

DIMENSION = 8
_CLASSIFIER = Classifier(
    hidden=32, input_dropout=0.0, dropout=0.0, epochs=15, batch_size=8, learning_rate=1e-2, weight_decay=0.0
)


def train_section(**changes: object) -> Train:
    """Parameters of a training that takes a second: those of params.yaml but for these, and for `changes`."""
    small = {
        "model": "lstm",
        "inputs": "both",
        "epochs": 3,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "weight_decay": 0.0,
        "caption_length": 16,
        "hashtag_length": 6,
        "lstm": Lstm(hidden=16, layers=1, dropout=0.0, batch_norm_momentum=0.1),
        "neighbours": Neighbours(posts=5, power=3.0, copy_bonus=0.2),
        "classifier": _CLASSIFIER,
        "ranker": Ranker(
            candidates=6,
            ridge=2.0,
            picture_posts=10,
            caption_posts=5,
            power=3.0,
            trees=20,
            leaves=4,
            least=5,
            learning_rate=0.2,
            l2=1.0,
            folds=2,
            classifier=_CLASSIFIER,
        ),
        "ensemble": Ensemble(members=("ranker", "lstm")),
        "attention": Attention(hidden=16, layers=1, regions=2, dropout=0.0, batch_norm_momentum=0.1),
        "transformer": Transformer(
            width=16,
            layers=1,
            heads=2,
            regions=2,
            dropout=0.0,
            learning_rate=1e-2,
            weight_decay=0.0,
            warm_up=0.1,
        ),
    }
    section = read_section(ROOT / "params.yaml", Train)
    return Train(**(dict(section) | small | changes))


def small_recipe(**changes: object) -> Recipe:
    """How the features of the tiny world are said to have been made."""
    values = {
        "backbone": "none",
        "weights": "random",
        "weights_sha256": "0" * 64,
        "file_sha256": None,
        "dim": DIMENSION,
        "views": 1,
        "image_size": 32,
        "precision": "float32",
        "seed": 1,
        "encoder_version": 1,
    }
    return Recipe(**(values | changes))  # type: ignore[arg-type]
