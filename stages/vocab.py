"""Stage vocab: caption words, hashtags and the vectors that their embeddings start from, from training posts only."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hashgen.base.errors import HashgenError
from hashgen.base.files import atomic_folder, sha256_of_file, write_json
from hashgen.corpus.manifest import read_manifest
from hashgen.params import read_section
from hashgen.params.vocab import Vocab
from hashgen.text.vocabulary import SPECIALS, Glove, Vocabularies, Vocabulary, build_vocabulary, coverage, embed
from hashgen.text.words import tokenise
from stages.command import PARAMS, ParamsOption, done, input_path, run


def main(
    manifest: Annotated[Path, typer.Option(help="Folder of the split's manifests (stage split).")],
    out: Annotated[Path, typer.Option(help="Folder to write the vocabularies to.")],
    metrics: Annotated[Path, typer.Option(help="JSON file to write the metrics to.")],
    params: ParamsOption = PARAMS,
) -> None:
    """Build the vocabularies of caption words and hashtags from the training posts."""
    section = read_section(params, Vocab)
    train = read_manifest(manifest, "train")
    captions = [tokenise(caption) for caption in train["caption"]]
    words = build_vocabulary(captions, section.min_word_count)
    hashtags = build_vocabulary(train["hashtags"], section.min_hashtag_count)
    _refuse_empty(words, "caption word", "vocab.min_word_count", section.min_word_count)
    _refuse_empty(hashtags, "hashtag", "vocab.min_hashtag_count", section.min_hashtag_count)
    glove = None if section.glove is None else Glove.open(input_path(section.glove), section.dimension)
    embedded_words = embed(words, section.dimension, glove, section.seed, split_words=False)
    embedded_hashtags = embed(hashtags, section.dimension, glove, section.seed + 1, split_words=True)
    with atomic_folder(out) as folder:
        Vocabularies(words, hashtags, embedded_words.vectors, embedded_hashtags.vectors).save(folder)
    summary = {
        "words": _summary(words, coverage(captions, words), embedded_words.found, embedded_words.from_words),
        "hashtags": _summary(
            hashtags, coverage(train["hashtags"], hashtags), embedded_hashtags.found, embedded_hashtags.from_words
        ),
        "glove": _glove_record(section, glove),
    }
    write_json(metrics, summary)
    source = "GloVe" if glove else "random vectors"
    done("vocab", f"{len(words) - len(SPECIALS):,} words, {len(hashtags) - len(SPECIALS):,} hashtags, {source}")


def _refuse_empty(vocabulary: Vocabulary, what: str, key: str, minimum: int) -> None:
    if len(vocabulary) == len(SPECIALS):
        raise HashgenError(f"{key}: no {what} occurs in {minimum} training posts; lower it or add more posts")


def _summary(vocabulary: Vocabulary, known: float, found: int, from_words: int) -> dict[str, Any]:
    size = len(vocabulary) - len(SPECIALS)
    return {
        "size": size,
        "coverage": known,
        "glove_own": found / size,
        "glove_with_split": (found + from_words) / size,
    }


def _glove_record(section: Vocab, glove: Glove | None) -> dict[str, Any] | None:
    if glove is None:
        return None
    return {"file": glove.path.name, "sha256": sha256_of_file(glove.path), "dimension": section.dimension}


if __name__ == "__main__":
    run(main)
