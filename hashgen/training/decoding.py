"""From a state to a sequence of hashtags: free-running greedy and beam search, and the paper's teacher forcing.

A hashtag never repeats, PAD, BEGIN and UNKNOWN are never written, and at least one hashtag is.
"""

import torch
from torch import Tensor

from hashgen.features.posts import Blind, Features
from hashgen.text.vocabulary import BEGIN_ID, END_ID, PAD_ID, UNKNOWN_ID
from hashgen.training.dataset import Examples, batches
from hashgen.training.network import ALL, ALL_KEPT, Kept, SequenceNetwork, encode

_NEVER = [PAD_ID, BEGIN_ID, UNKNOWN_ID]


@torch.inference_mode()
def greedy(network: SequenceNetwork, state: tuple[Tensor, ...], length: int) -> list[list[int]]:
    """The likeliest hashtag at each step, up to `length` of them; one list of numbers a post, without END."""
    batch = len(state[0])
    device = state[0].device
    forbidden = torch.zeros(batch, network.hashtag_count, dtype=torch.bool, device=device)  # (batch, hashtags)
    forbidden[:, [*_NEVER, END_ID]] = True
    tokens = torch.full((batch,), BEGIN_ID, device=device)
    ended = torch.zeros(batch, dtype=torch.bool, device=device)
    written: list[Tensor] = []
    for _ in range(min(length, network.hashtag_count - len(_NEVER) - 1)):
        logits, state = network.step(state, tokens)  # (batch, hashtags)
        tokens = logits.masked_fill(forbidden, -torch.inf).argmax(1).masked_fill(ended, END_ID)
        written.append(tokens)
        ended |= tokens == END_ID
        if bool(ended.all()):
            break
        forbidden.scatter_(1, tokens.unsqueeze(1), True)
        forbidden[:, END_ID] = False
    return [_until_end(row) for row in torch.stack(written, 1).tolist()]


def _until_end(tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(END_ID)] if END_ID in tokens else tokens


@torch.inference_mode()
def beam_search(
    network: SequenceNetwork, state: tuple[Tensor, ...], length: int, beam: int, penalty: float = 1.0
) -> list[list[int]]:
    """The best sequence found with `beam` hypotheses a post. A beam of 1 gives what `greedy` gives.

    Best by log-probability over the number of tokens (END counted) to the power `penalty`: 0 is the likeliest
    sequence, 1 the mean a token, which prefers long ones (Wu et al. 2016, equation 14, without its offset).

    Without a penalty short sequences win, since each token costs probability. On the validation posts of real photos a
    beam of 5 wrote 1.5 hashtags and F1 was .092; with a penalty of 0.5 .182, 0.8 .230, 1 .244 (9.6 hashtags), 1.2 .245,
    2 .241; greedy .240. On the sample .776, 0.5 .784, 0.8 .786, 1 .787, 1.2 .787, 2 .779; greedy .789.
    """
    if beam == 1:
        return greedy(network, state, length)
    batch, vocabulary, device = len(state[0]), network.hashtag_count, state[0].device
    length = min(length, vocabulary - len(_NEVER) - 1)
    state = tuple(part.repeat_interleave(beam, dim=0) for part in state)
    tokens = torch.full((batch * beam,), BEGIN_ID, device=device)
    forbidden = torch.zeros(batch, beam, vocabulary, dtype=torch.bool, device=device)
    forbidden[:, :, _NEVER] = True
    score = torch.full((batch, beam), -torch.inf, device=device)
    score[:, 0] = 0.0  # all hypotheses are alike at first: one of them may branch
    history = torch.empty(batch, beam, 0, dtype=torch.long, device=device)
    best = [(-torch.inf, list[int]())] * batch
    for step in range(1, length + 1):
        logits, state = network.step(state, tokens)
        log_p = logits.log_softmax(1).view(batch, beam, vocabulary).masked_fill(forbidden, -torch.inf)
        if step > 1:
            _finish(best, history, (score + log_p[:, :, END_ID]) / step**penalty)
        log_p[:, :, END_ID] = -torch.inf
        score, flat = (score.unsqueeze(2) + log_p).flatten(1).topk(min(beam, beam * vocabulary), dim=1)  # (batch, beam)
        parent, token = flat // vocabulary, flat % vocabulary
        history = torch.cat([_reorder(history, parent), token.unsqueeze(2)], dim=2)  # (batch, beam, step)
        forbidden = _reorder(forbidden, parent).scatter(2, token.unsqueeze(2), True)
        state = tuple(_reorder(part.view(batch, beam, *part.shape[1:]), parent).flatten(0, 1) for part in state)
        tokens = token.flatten()
    _finish(best, history, score / length**penalty)
    return [sequence for _, sequence in best]


def _reorder(part: Tensor, parent: Tensor) -> Tensor:
    """Pick from `part` (batch, beam, …) the hypotheses that `parent` (batch, beam) names."""
    return part[torch.arange(len(part), device=part.device).unsqueeze(1), parent]


def _finish(best: list[tuple[float, list[int]]], history: Tensor, score: Tensor) -> None:
    """Keep in `best` the better of itself and the hypotheses that end here with `score` (batch, beam)."""
    highest, hypothesis = score.max(dim=1)  # (batch,)
    for post, (value, number) in enumerate(zip(highest.tolist(), hypothesis.tolist(), strict=True)):
        if value > best[post][0]:
            best[post] = (value, history[post, number].tolist())


def mixed_forcing(
    network: SequenceNetwork,
    state: tuple[Tensor, ...],
    inputs: Tensor,
    ratio: float,
    generator: torch.Generator,
    kept: Kept = ALL_KEPT,
    rows: slice = ALL,
) -> Tensor:
    """Logits (batch, steps, hashtags) where each step is fed the true token with chance `ratio`, else the model's own.

    inputs: (batch, steps), BEGIN and the true hashtags. The coin is drawn separately for each post and step (scheduled
    sampling, Bengio et al. 2015), by a generator of the inputs' device. The model's own tokens are its plain likeliest
    ones: the paper knows no blocking of repeats. They carry no gradient, so a first pass finds them step by step
    without one, and a second reads the mixed sequence at once, several times faster. Both drop the same numbers.
    rows: the posts of the batch that state and result are of; coins are drawn for all.
    """
    fed = inputs[rows]
    if ratio < 1.0:
        true = torch.rand(inputs.shape, generator=generator, device=inputs.device) < ratio
        fed = _mixed_inputs(network, state, fed, true[rows], kept)
    return network(state, fed, kept)  # type: ignore[no-any-return]


@torch.no_grad()
def _mixed_inputs(
    network: SequenceNetwork, state: tuple[Tensor, ...], inputs: Tensor, true: Tensor, kept: Kept
) -> Tensor:
    """Inputs (batch, steps) with the model's own tokens where `true` (batch, steps) is not set."""
    mixed = [inputs[:, 0]]
    for step in range(1, inputs.shape[1]):
        logits, state = network.step(state, mixed[-1], kept.at(step - 1))
        mixed.append(torch.where(true[:, step], inputs[:, step], logits.argmax(1)))
    return torch.stack(mixed, dim=1)


_BATCH = 256


def decode(
    network: SequenceNetwork,
    examples: Examples,
    features: Features,
    length: int,
    *,
    beam: int = 1,
    penalty: float = 1.0,
    blind: Blind | None = None,
) -> list[list[int]]:
    """Free-running hashtag numbers for every example, the model left in evaluation mode. Beam 1 is greedy.

    Posts are decoded in batches of similar size whatever their number, so memory is bounded.
    """
    network.eval()
    device = next(network.parameters()).device
    written: list[list[int]] = []
    for batch in batches(examples, features, max(1, _BATCH // beam), device):
        with torch.inference_mode():
            state = encode(network, batch.picture, batch.words, batch.lengths, blind, batch.sentiment)
        written += beam_search(network, state, length, beam, penalty)
    return written


# Sequences sampled for each post to rank hashtags. Sampling was chosen on the validation posts of real photos: F1@5
# .228 and P@1 .51, against .129 and .32 by the first step's probabilities, .197 and .45 by the steps of the greedy
# path, .205 and .42 by the mass of a beam of 20. With 32, 50 or 1,000 sequences F1@5 is the same to .002 on the sample
# (.734, .734, .736).
_SAMPLES = 32
# Scores (posts x samples x hashtags) held at once: the bound on memory, and how many a CPU's cache has room for.
_CELLS, _CACHED = 2**24, 2**21


@torch.inference_mode()
def presence(network: SequenceNetwork, state: tuple[Tensor, ...], length: int, samples: int = _SAMPLES) -> Tensor:
    """The probability (batch, hashtags) that the network writes each hashtag in a sequence of up to `length`.

    Estimated from sequences drawn at random by the network's own probabilities, under the rules of decoding: the
    probabilities of all hashtags at each step of a sequence are added up, and sequences averaged, which has the
    expectation wanted and varies less than counting what was drawn. Each post sees the same random numbers, so that its
    result depends on no other post. 0 for PAD, BEGIN, END and UNKNOWN.

    Sequences of a post that are alike so far are read once, as one prefix, and share its chances evenly among them
    (stratified sampling): all are alike at first.
    """
    batch, device = len(state[0]), state[0].device
    total = torch.zeros(batch, network.hashtag_count, device=device)
    post = torch.arange(batch, device=device)  # (prefixes,), as tokens and forbidden
    tokens = torch.full((batch,), BEGIN_ID, device=device)
    forbidden = torch.zeros(batch, network.hashtag_count, dtype=torch.bool, device=device)
    forbidden[:, [*_NEVER, END_ID]] = True
    prefix = post.repeat_interleave(samples)  # (sequences,), as sample: in the order of their prefixes
    sample = torch.arange(samples, device=device).repeat(batch)
    generator = torch.Generator().manual_seed(0)
    for _ in range(min(length, network.hashtag_count - len(_NEVER) - 1)):
        logits, state = network.step(state, tokens)
        chances = logits.masked_fill_(forbidden, -torch.inf).softmax(1)  # (prefixes, hashtags)
        count = torch.bincount(prefix, minlength=len(post))
        drawn = _draw(chances, prefix, count, _strata(samples, generator).to(device)[sample])
        total.index_add_(0, post, chances.mul_(count.unsqueeze(1)))
        unfinished = (drawn != END_ID).nonzero().squeeze(1)
        if not len(unfinished):
            break
        longer = prefix[unfinished] * network.hashtag_count + drawn[unfinished]
        # Those of a prefix were drawn in ascending order, so that sequences which are still alike stand together.
        longer, prefix = longer.unique_consecutive(return_inverse=True)  # type: ignore[no-untyped-call]
        sample = sample[unfinished]
        origin, tokens = longer // network.hashtag_count, longer % network.hashtag_count
        post, forbidden = post[origin], forbidden[origin]
        state = tuple(part[origin] for part in state)
        forbidden.scatter_(1, tokens.unsqueeze(1), True)
        forbidden[:, END_ID] = False
    total[:, END_ID] = 0
    return total / samples


def _strata(count: int, generator: torch.Generator) -> Tensor:
    """Uniform numbers (count,) in 0..1, one in each of `count` equal parts, in random order.

    So sequences that are each alone in their prefix do not all draw alike either.
    """
    return (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count


def _draw(chances: Tensor, prefix: Tensor, count: Tensor, uniform: Tensor) -> Tensor:
    """Tokens (sequences,) drawn with the numbers `uniform` (sequences,) in 0..1.

    chances: (prefixes, hashtags). prefix: (sequences,) that of each, ascending. count: (prefixes,) sequences of each.
    Of n sequences of a prefix, each draws from another nth part of its chances; so their tokens ascend.
    """
    # A row of numbers for each prefix, as long as that with the most sequences.
    place = torch.arange(len(prefix), device=prefix.device) - (count.cumsum(0) - count)[prefix]
    wanted = chances.new_zeros(len(chances), int(count.max()))
    wanted[prefix, place] = (place + uniform) / count[prefix]
    below = chances.cumsum(1)
    drawn = torch.searchsorted(below, wanted.mul_(below[:, -1:]), right=True)[prefix, place]
    # Rounding may end past the last token that has a chance.
    last = chances.shape[1] - 1
    past = (chances[prefix, drawn.clamp_(max=last)] == 0).nonzero().squeeze(1)
    drawn[past] = last - chances[prefix[past]].flip(1).gt(0).int().argmax(1)
    return drawn


def rank(
    network: SequenceNetwork,
    examples: Examples,
    features: Features,
    length: int,
    depth: int,
    *,
    blind: Blind | None = None,
) -> list[list[tuple[int, float]]]:
    """Up to `depth` hashtag numbers with their probabilities (`presence`) for every example, best first."""
    network.eval()
    device = next(network.parameters()).device
    depth = min(depth, network.hashtag_count - len(_NEVER) - 1)
    found: list[list[tuple[int, float]]] = []
    size = max(1, min(_BATCH, _CELLS // (_SAMPLES * network.hashtag_count)))
    held = _CELLS if device.type == "cuda" else min(_CELLS, _CACHED)
    for batch in batches(examples, features, size, device):
        with torch.inference_mode():
            state = encode(network, batch.picture, batch.words, batch.lengths, blind, batch.sentiment)
            # A state may be large as well: that of a network with attention holds all that it attends to.
            cells = max(network.hashtag_count, *(part[0].numel() for part in state))
            parts = zip(*(torch.split(part, max(1, held // (_SAMPLES * cells))) for part in state), strict=True)
            found_in = torch.cat([presence(network, part, length) for part in parts])  # (batch, hashtags)
            scores, numbers = found_in.topk(depth, dim=1)  # (batch, depth)
        found += [list(zip(*one, strict=True)) for one in zip(numbers.tolist(), scores.tolist(), strict=True)]
    return found
