"""Vocabularies of caption words and hashtags, and the vectors that their embeddings start from."""

import dataclasses
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from hashgen.base.errors import HashgenError
from hashgen.base.faults import system_fault
from hashgen.base.files import read_json, require
from hashgen.text.words import make_tokenizer, segment

PAD, BEGIN, END, UNKNOWN = "<pad>", "<begin>", "<end>", "<unknown>"
SPECIALS = (PAD, BEGIN, END, UNKNOWN)
PAD_ID, BEGIN_ID, END_ID, UNKNOWN_ID = range(4)

# Standard deviation of the values in GloVe's 6B vectors; random vectors use it too, so that the two can be mixed.
VECTOR_STD = 0.4

# Bytes of a line of a GloVe file: what is longer is no line of text, and would not fit in memory either.
_LONGEST_WORD = 10_000
_LONGEST_NUMBER = 100

Vectors = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Tokens and their numbers: the four specials first, then tokens by falling training count, then by name.

    counts: in how many training posts each token occurs, 0 for the specials; as long as tokens.
    """

    tokens: tuple[str, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ids", {token: number for number, token in enumerate(self.tokens)})

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def ids(self) -> dict[str, int]:
        """Number of each token."""
        return self._ids  # type: ignore[attr-defined, no-any-return]

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Numbers of tokens; those not in the vocabulary become UNKNOWN_ID."""
        return [self.ids.get(token, UNKNOWN_ID) for token in tokens]

    def encode_known(self, tokens: Iterable[str]) -> list[int]:
        """Numbers of the tokens that are in the vocabulary; others are left out."""
        return [self.ids[token] for token in tokens if token in self.ids]

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """Tokens up to the first END; specials are left out."""
        tokens = []
        for number in numbers:
            if number == END_ID:
                break
            if number >= len(SPECIALS):
                tokens.append(self.tokens[number])
        return tokens

    def save(self, path: Path) -> None:
        """Write as JSON: `{"tokens": [...], "counts": [...]}`."""
        document = {"tokens": list(self.tokens), "counts": list(self.counts)}
        path.write_text(json.dumps(document, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path, made_by: str = "vocab") -> "Vocabulary":
        """Read what `save` wrote. Raises HashgenError when the file is missing or broken.

        made_by: the stage that wrote it.
        """
        document = read_json(path, made_by)
        try:
            vocabulary = cls(tuple(document["tokens"]), tuple(document["counts"]))
            vocabulary._check()
        except (ValueError, KeyError, TypeError) as error:
            raise HashgenError(
                f"{path}: not a vocabulary ({error}); run the stage {made_by} again", stage=made_by
            ) from error
        return vocabulary

    def _check(self) -> None:
        if self.tokens[: len(SPECIALS)] != SPECIALS:
            raise ValueError(f"does not start with {', '.join(SPECIALS)}")
        if not all(isinstance(token, str) for token in self.tokens) or len(self.ids) < len(self):
            raise ValueError("its tokens are not distinct texts")
        if len(self.counts) != len(self) or not all(isinstance(count, int) and count >= 0 for count in self.counts):
            raise ValueError("its counts are not one number for each token")


def build_vocabulary(posts: Iterable[Sequence[str]], min_count: int) -> Vocabulary:
    """The vocabulary of tokens that occur in at least `min_count` posts. A post counts once for each token."""
    counts = Counter(token for tokens in posts for token in set(tokens))
    kept = sorted((token for token, count in counts.items() if count >= min_count), key=lambda t: (-counts[t], t))
    return Vocabulary(SPECIALS + tuple(kept), (0,) * len(SPECIALS) + tuple(counts[token] for token in kept))


@dataclasses.dataclass(frozen=True)
class Glove:
    """A GloVe text file, indexed: where each word's line begins. Vectors are read on request.

    One line a word: the word, then `dimension` numbers, separated by single blanks (Pennington et al. 2014).
    """

    path: Path
    dimension: int
    offsets: dict[str, int]

    @classmethod
    def open(cls, path: Path, dimension: int) -> "Glove":
        """Index a file in one pass. Raises HashgenError if it is missing, broken or of another dimension."""
        if not path.is_file():
            raise HashgenError(f"vocab.glove: {path}: no such file; download GloVe vectors and unpack them there")
        offsets: dict[str, int] = {}
        position = 0
        with path.open("rb") as stream:
            lines = iter(lambda: stream.readline(_LONGEST_WORD + _LONGEST_NUMBER * dimension), b"")
            for number, line in enumerate(lines, start=1):
                # 840B has words with blanks inside, so the numbers are counted from the right.
                word, *numbers = line.rstrip().rsplit(b" ", dimension)
                if len(numbers) < dimension:
                    if not (number == 1 and len(numbers) == 1):  # word2vec's files begin with "count dimension"
                        raise _wrong_line(path, number, line, dimension)
                elif b" " not in word:
                    offsets.setdefault(word.decode("utf-8", errors="replace"), position)
                elif number == 1:
                    raise _wrong_line(path, number, line, dimension)
                position += len(line)
        if not offsets:
            raise HashgenError(
                f"vocab.glove: {path}: no vectors of {dimension} numbers; "
                "set vocab.dimension to match the file, or use another file"
            )
        return cls(path, dimension, offsets)

    def vectors(self, words: Collection[str]) -> dict[str, Vectors]:
        """Vectors (dimension,) of those of `words` that the file has."""
        wanted = sorted(word for word in words if word in self.offsets)
        found: dict[str, Vectors] = {}
        with self.path.open("rb") as stream:
            for word in sorted(wanted, key=self.offsets.__getitem__):
                stream.seek(self.offsets[word])
                fields = stream.readline().rstrip().rsplit(b" ", self.dimension)[1:]
                try:
                    with np.errstate(over="raise"):
                        found[word] = np.array(fields, dtype=np.float32)
                    if found[word].shape != (self.dimension,) or not np.isfinite(found[word]).all():
                        raise ValueError("not finite")
                except (ValueError, FloatingPointError) as error:
                    raise HashgenError(
                        f"vocab.glove: {self.path}: the vector of {word!r} is not numeric; download the file again"
                    ) from error
        return found


def _wrong_line(path: Path, number: int, line: bytes, dimension: int) -> HashgenError:
    found = len(line.split()) - 1
    return HashgenError(
        f"vocab.glove: {path} line {number}: {found} numbers, but vocab.dimension is {dimension}; "
        "set vocab.dimension to match the file, or use another file"
    )


@dataclasses.dataclass(frozen=True)
class Embedded:
    """Vectors for a vocabulary, and where they come from.

    vectors: (len(vocabulary), dimension) float32; found: tokens with a vector of their own in GloVe;
    from_words: hashtags that got the mean of their words' vectors; the rest is random.
    """

    vectors: Vectors
    found: int
    from_words: int


def embed(vocabulary: Vocabulary, dimension: int, glove: Glove | None, seed: int, *, split_words: bool) -> Embedded:
    """Vectors for every token: GloVe's own, else the mean of the token's words (`split_words`), else random.

    The row of PAD is zero. Random rows depend on `seed` and the token's number only.
    """
    vectors = np.random.default_rng(seed).normal(0.0, VECTOR_STD, (len(vocabulary), dimension)).astype(np.float32)
    vectors[PAD_ID] = 0.0
    if glove is None:
        return Embedded(vectors, 0, 0)
    tokens = vocabulary.tokens[len(SPECIALS) :]
    pieces = {t: segment(t, glove.offsets) for t in tokens if split_words and t not in glove.offsets}
    known = glove.vectors({*tokens, *(word for words in pieces.values() for word in words)})
    found = from_words = 0
    for token in tokens:
        if token in known:
            vectors[vocabulary.ids[token]] = known[token]
            found += 1
        elif words := [known[word] for word in pieces.get(token, ()) if word in known]:
            vectors[vocabulary.ids[token]] = np.mean(words, axis=0)
            from_words += 1
    return Embedded(vectors, found, from_words)


@dataclasses.dataclass(frozen=True)
class Vocabularies:
    """What the stage vocab gives a model: words, hashtags, and the initial vectors of both."""

    words: Vocabulary
    hashtags: Vocabulary
    word_vectors: Vectors
    hashtag_vectors: Vectors

    def save(self, folder: Path) -> None:
        """Write words.json, hashtags.json and vectors.safetensors into an existing folder.

        tokenizer.json beside them turns a cleaned caption into the same numbers outside of this project
        (`tokenizers.Tokenizer.from_file`).
        """
        self.words.save(folder / "words.json")
        make_tokenizer(self.words.tokens, UNKNOWN).save(str(folder / "tokenizer.json"))
        self.hashtags.save(folder / "hashtags.json")
        save_file({"words": self.word_vectors, "hashtags": self.hashtag_vectors}, folder / "vectors.safetensors")

    @classmethod
    def load(cls, folder: Path, made_by: str = "vocab") -> "Vocabularies":
        """Read what `save` wrote. Raises HashgenError when a file is missing or they do not fit together.

        made_by: the stage that wrote the folder: vocab, or train for that of a model.
        """
        words, hashtags = (Vocabulary.load(folder / f"{name}.json", made_by) for name in ("words", "hashtags"))
        path = require(folder / "vectors.safetensors", made_by)
        again = f"run the stage {made_by} again"
        try:
            vectors = load_file(path)
            found = vectors["words"], vectors["hashtags"]
        except Exception as error:  # the parser of a damaged file raises nearly anything
            raise system_fault(error, path) or HashgenError(
                f"{path}: cannot be read ({error}); {again}", stage=made_by
            ) from error
        dimension = found[0].shape[-1] if found[0].ndim == 2 else 0
        if [part.shape for part in found] != [(len(words), dimension), (len(hashtags), dimension)]:
            raise HashgenError(f"{path}: does not match words.json and hashtags.json beside it; {again}", stage=made_by)
        if not all(part.dtype == np.float32 and np.isfinite(part).all() for part in found):
            raise HashgenError(f"{path}: has values that are not numbers (float32); {again}", stage=made_by)
        return cls(words, hashtags, *found)


def coverage(posts: Iterable[Sequence[str]], vocabulary: Vocabulary) -> float:
    """Share of the token occurrences in `posts` that the vocabulary knows; 0 when there are none."""
    total = known = 0
    for token in _occurrences(posts):
        total += 1
        known += token in vocabulary.ids
    return known / total if total else 0.0


def _occurrences(posts: Iterable[Sequence[str]]) -> Iterator[str]:
    for tokens in posts:
        yield from tokens
