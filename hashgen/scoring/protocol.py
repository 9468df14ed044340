"""The paper's own kind of score, for a model and for guesses that know nothing."""

from hashgen.features.posts import Labelled
from hashgen.metrics.paper import paper_bleu
from hashgen.models import Model
from hashgen.models.sequence import SequenceModel
from hashgen.params.train import Train


def paper_protocol(model: Model, labelled: Labelled, train: Train, common: str, seed: int) -> dict[str, float]:
    """The paper's own kind of score for `model`, one `constant` hashtag and `nothing`. Comparable to nothing else.

    Unigram BLEU a time step, averaged over batches, under teacher forcing (`hashgen.metrics.paper.paper_bleu`).
    common: the one hashtag that is guessed for every post. `model` is absent for one that does not write hashtag by
    hashtag: no true ones can be fed to it.
    """
    compared: dict[str, list[list[str]]] = {}
    targets = [hashtags[: train.hashtag_length] for hashtags in labelled.hashtags]
    if isinstance(model, SequenceModel):
        compared["model"], targets = model.write_forced(labelled, seed)
    compared |= {"constant": [[common]] * len(targets), "nothing": [[]] * len(targets)}
    return {name: paper_bleu(one, targets, train.batch_size, train.hashtag_length) for name, one in compared.items()}
