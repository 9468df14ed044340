"""The bridge to the paper: the same methods under its kind of score, under a padded one, and under an honest one.

What knows nothing of a post stands beside what was trained, so that a reader sees which score tells them apart.
"""

from collections.abc import Mapping, Sequence

from hashgen.metrics.paper import paper_bleu
from hashgen.metrics.ranked import ranked_figures
from hashgen.metrics.written import Hashtags, bleu_counts, check_lengths, corpus_bleu, written_scores
from hashgen.scoring.evaluation import Predictions

# No hashtag can be this.
PAD = "<pad>"


def bridge(
    said: Mapping[str, Predictions],
    targets: Sequence[Hashtags],
    common: str,
    *,
    batch_size: int,
    length: int,
    forced: Mapping[str, tuple[Sequence[Hashtags], Sequence[Hashtags]]] | None = None,
) -> dict[str, dict[str, float]]:
    """One row a method, in order: `nothing`, `constant`, then those of `said`. All figures are in 0..1.

    - `paper`: the paper's kind of score (`hashgen.metrics.paper.paper_bleu`), under teacher forcing for the methods in
      `forced`, else of what is written free-running: to those no true hashtags can be fed.
    - `padded`: corpus BLEU-4 of written and true hashtags, each cut or filled with a pad token to `length`, as scores
      over padded arrays are. The pads match each other, so that nothing at all scores high.
    - `bleu4`, `f1_at_5`, `p_at_1`: the honest ones, free-running and not padded, as `hashgen.metrics.scores.scores` has
      them: BLEU-4 of what is written, the others of the ranking.

    said: what each method writes and ranks, free-running, for the same posts: popularity, knn_both, the trained model,
    any other. targets: the true hashtags, at least one a post. common: the most frequent hashtag of the training posts
    (`next(iter(habits.popular))`), which `constant` writes for every post, alone; `nothing` writes none.
    batch_size, length: `train.batch_size` and `train.hashtag_length`, as they were in training.
    forced: by name, what a method writes where true hashtags are fed in, and those hashtags, as
    `SequenceModel.write_forced` returns them (without those that its vocabulary lacks).

    Raises ValueError without posts, when lengths differ, when a post has no target, for a name in `forced` that `said`
    lacks, and for one in `said` that a row of its own has.
    """
    forced = forced or {}
    if (unknown := forced.keys() - said.keys()) or (taken := said.keys() & {"nothing", "constant"}):
        raise ValueError(f"a row cannot have this name: {sorted(unknown or taken)}")
    if not all(targets):
        raise ValueError(f"post {[bool(hashtags) for hashtags in targets].index(False)} has no target")
    guesses: dict[str, list[list[str]]] = {"nothing": [[]] * len(targets), "constant": [[common]] * len(targets)}
    rows = {name: Predictions(one, one) for name, one in guesses.items()} | dict(said)
    table = {}
    for name, one in rows.items():
        written, true = forced.get(name, (one.written, [list(hashtags[:length]) for hashtags in targets]))
        table[name] = {
            "paper": paper_bleu(written, true, batch_size, length),
            "padded": padded_bleu4(one.written, targets, length),
            "bleu4": written_scores(one.written, targets)["bleu4"],
            **_ranked(one.ranked, targets),
        }
    return table


def padded_bleu4(predictions: Sequence[Hashtags], targets: Sequence[Hashtags], length: int) -> float:
    """Corpus BLEU-4 of sequences cut or filled with `PAD` to `length`, 0..1; each pad counts as a hashtag.

    Kept to show how it misleads. Raises ValueError without posts or when lengths differ.
    """
    check_lengths(predictions, targets)
    written, true = ([_padded(one, length) for one in sequences] for sequences in (predictions, targets))
    return corpus_bleu(bleu_counts(written, true).sum(axis=0), 4)


def _padded(hashtags: Hashtags, length: int) -> list[str]:
    return [*hashtags[:length], *[PAD] * (length - len(hashtags))]


def _ranked(rankings: Sequence[Hashtags], targets: Sequence[Hashtags]) -> dict[str, float]:
    check_lengths(rankings, targets)
    figures = ranked_figures(rankings, targets)
    return {name: float(figures[name].mean()) for name in ("f1_at_5", "p_at_1")}
