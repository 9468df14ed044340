"""Words: the tokens of a caption, and the words that a hashtag is made of."""

import functools
from collections.abc import Container, Mapping, Sequence
from typing import Literal

import regex
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

_W = r"[\p{L}\p{M}\p{N}]"
_CLITIC = rf"'(?:s|m|d|re|ve|ll)(?!{_W})"
_TOKEN = "|".join(
    [
        rf"{_W}+?(?=n't(?!{_W}))",  # do n't
        rf"n't(?!{_W})",
        _CLITIC,
        rf"'(?:em|til|cause|n'|\d\ds)(?!{_W})",
        rf"[dly]'(?={_W})",  # d'or, l'amour, y'all
        rf"(?:mr|mrs|ms|dr|vs)\.(?!{_W})",
        r"\p{L}\.(?:\p{L}\.)+",  # u.s., p.m.
        r"\d+(?:[.,:/]\d+)+",  # 1,000 2.5 5:30 1/2
        rf"\p{{L}}&\p{{L}}(?!{_W})",  # r&b
        rf"{_W}-{_W}+",  # x-ray, t-shirt, 3-d
        rf"{_W}+(?:'(?!(?:s|m|d|re|ve|ll)(?!{_W})){_W}+)*",  # o'clock
        r"\.\.+",
        r"--+",
        r"!!?!?",
        r"\?[?!]?",
        r"[^\s]",
    ]
)

# Cost of a word: -log10 of its frequency. A piece that is not a word costs this, and this much more per letter, so
# that a name stays whole and a rare word wins over two pieces. Found on tests/text/data/hashtags.tsv.
_UNKNOWN = 6.0
_UNKNOWN_LETTER = 1.5
_LONGEST = 24
_PIECES = regex.compile(r"[a-z]+|\d+|[^a-z\d_]+")


def tokenise(caption: str) -> list[str]:
    """The tokens of a caption as GloVe's word list has them: lower case, Penn-Treebank-like.

    Clitics are split off (don't → do n't, dog's → dog 's), abbreviations and numbers stay whole (u.s., 1,000),
    compounds fall apart at the hyphen unless a part is a single letter (x-ray). Expects ASCII quotes, as
    `captions.clean_caption` leaves them.
    """
    text = _normaliser().normalize_str(caption)
    return [token for token, _ in _pre_tokeniser().pre_tokenize_str(text)]


def make_tokenizer(tokens: Sequence[str], unknown: str) -> Tokenizer:
    """`tokenise` and the numbers of `tokens` (their places) as one Hugging Face tokenizer of kind WordLevel.

    unknown: the token used for all others; must be among `tokens`.
    """
    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token=unknown))
    tokenizer.normalizer = _normaliser()
    tokenizer.pre_tokenizer = _pre_tokeniser()
    return tokenizer


@functools.cache
def _normaliser() -> normalizers.Normalizer:
    # Dots and dashes are typed in any number; the list has one form of each.
    runs = [normalizers.Replace(Regex(r"\.\.+"), "..."), normalizers.Replace(Regex("--+"), "--")]
    return normalizers.Sequence([normalizers.Lowercase(), *runs])


@functools.cache
def _pre_tokeniser() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(Regex(_TOKEN), behavior="removed", invert=True)


def segment(hashtag: str, known: Container[str]) -> list[str]:
    """The words that a hashtag is made of: `mydogiscute` → my dog is cute.

    The cheapest split by unigram frequencies of English (`wordfreq`, large list), by Viterbi over words that are
    in `known`; what cannot be split stays as one piece. Underscores, digits and letters other than a-z separate words.
    `hashtag`: lower case, without `#`. Returns at least one piece unless `hashtag` holds nothing but `_`.
    """
    words: list[str] = []
    for piece in _PIECES.findall(hashtag):
        words += cheapest_split(piece, word_costs("large"), known) if piece.isascii() and piece.isalpha() else [piece]
    return words


def cheapest_split(letters: str, costs: Mapping[str, float], known: Container[str]) -> list[str]:
    """The pieces of `letters` with the least total cost (Viterbi): words by `costs` if `known`, or unknown pieces."""
    best = [0.0]  # cost of the cheapest split of letters[:end], by end
    starts = [0]  # where its last piece begins
    # The cheapest beginning of an unknown piece, whose cost grows with its length alone.
    open_cost, open_start = _UNKNOWN, 0
    for end in range(1, len(letters) + 1):
        cost, start = open_cost + _UNKNOWN_LETTER * end, open_start
        for begin in range(max(0, end - _LONGEST), end):
            piece = letters[begin:end]
            if piece in costs and best[begin] + costs[piece] < cost and piece in known:
                cost, start = best[begin] + costs[piece], begin
        best.append(cost)
        starts.append(start)
        if cost + _UNKNOWN - _UNKNOWN_LETTER * end < open_cost:
            open_cost, open_start = cost + _UNKNOWN - _UNKNOWN_LETTER * end, end
    words = []
    end = len(letters)
    while end > 0:
        words.append(letters[starts[end] : end])
        end = starts[end]
    return words[::-1]


@functools.cache
def word_costs(wordlist: Literal["small", "large"]) -> dict[str, float]:
    """English words of a-z and their cost, -log10 of the frequency; loaded once a process.

    The lists of `wordfreq` (CC BY-SA 4.0): small ends at once in a million words, large at once in a hundred million.
    """
    import wordfreq

    # wordfreq.get_frequency_dict would keep a second copy for good.
    bands = wordfreq.read_cBpack(wordfreq.available_languages(wordlist)["en"])
    return {
        word: centibels / 100
        for centibels, words in enumerate(bands)
        for word in words
        if word.isascii() and word.isalpha() and (len(word) > 1 or word in "ai")
    }
