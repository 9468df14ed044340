"""Captions per second of processor time (one core), made-up text: `python -m benchmarks.text [--captions N]`."""

import argparse
import random
import time
from collections.abc import Callable
from pathlib import Path

from hashgen.params import read_params
from hashgen.text.captions import clean_caption, has_emoji, hashtags_of
from hashgen.text.language import is_wanted
from hashgen.text.words import segment, tokenise, word_costs

GOALS = {"parse": 5_000, "judge language": 8_000}


def made_up(count: int, seed: int = 1) -> list[str]:
    """Texts as long as real ones (median 17 words, some far longer) with hashtags, mentions and layout."""
    draw = random.Random(seed)
    vocabulary = sorted(word for word in word_costs("small") if word.isalpha())
    hashtags = ["".join(draw.choices(vocabulary, k=draw.randint(1, 3))) for _ in range(10_000)]
    popularity = [1 / rank for rank in range(1, len(hashtags) + 1)]
    texts = []
    for _ in range(count):
        words = " ".join(draw.choices(vocabulary, k=min(300, 1 + int(draw.lognormvariate(2.8, 0.9)))))
        tags = " ".join(f"#{tag}" for tag in draw.choices(hashtags, popularity, k=draw.randint(1, 25)))
        texts.append(f"{words.capitalize()}… thanks to @{draw.choice(vocabulary)}!\n.\n.\n{tags}")
    return texts


def rate(name: str, work: Callable[[], object], count: int, unit: str = "captions") -> None:
    """Print how many of `count` things `work` does in a second of processor time, beside the goal if any."""
    start = time.process_time()
    work()
    measured = count / (time.process_time() - start)
    goal = f", {measured / GOALS[name]:.1f} times the goal" if name in GOALS else ""
    print(f"{name}: {measured:,.0f} {unit}/s{goal}")


def main() -> None:
    """Measure each step by itself; models and lists are loaded before the clock starts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", type=int, default=5_000)
    count = parser.parse_args().captions
    section = read_params(Path("params.yaml")).filter
    start = time.perf_counter()
    is_wanted("hello", ["world"], section)
    print(f"load the language lists and the detector: {time.perf_counter() - start:.2f} s")
    texts = made_up(count)
    parsed = [(clean_caption(text), hashtags_of(text)) for text in texts]
    tags = [tag for _, some in parsed for tag in some]
    known = word_costs("small")
    rate("emoji test", lambda: [has_emoji(text) for text in texts], count)
    rate("parse", lambda: [(has_emoji(text), clean_caption(text), hashtags_of(text)) for text in texts], count)
    rate("judge language", lambda: [is_wanted(caption, some, section) for caption, some in parsed], count)
    rate("tokenise", lambda: [tokenise(caption) for caption, _ in parsed], count)
    rate("segment", lambda: [segment(tag, known) for tag in tags], len(tags), "hashtags")


if __name__ == "__main__":
    main()
