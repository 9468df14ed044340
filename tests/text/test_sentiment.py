import sys
import types
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashgen.base.errors import HashgenError
from hashgen.text.sentiment import Sentiment, sentiment, sentiments
from tests.properties import examples


@pytest.fixture
def textblob() -> None:
    pytest.importorskip("textblob", reason="the extra hashgen[sentiment] is not installed")


@pytest.mark.usefixtures("textblob")
@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("lunch with friends", Sentiment(0.0, 1.0, 0.0)),
        ("", Sentiment(0.0, 1.0, 0.0)),
        ("GREAT!!!", Sentiment(0.0, 0.0, 1.0)),
        ("terrible rain", Sentiment(1.0, 0.0, 0.0)),
        ("so sad today", Sentiment(0.5, 0.5, 0.0)),
        ("happy birthday", Sentiment(0.0, 0.2, 0.8)),
        ("not good at all", Sentiment(0.35, 0.65, 0.0)),
        ("not bad", Sentiment(0.0, 0.65, 0.35)),
    ],
)
def test_captions_have_the_sentiment_of_their_words(caption: str, expected: Sentiment) -> None:
    assert sentiment(caption) == pytest.approx(expected)


@pytest.mark.usefixtures("textblob")
@examples(100)
@given(st.text(st.sampled_from("not very good bad sad!?.,:)('é🙂#@\n "), max_size=40) | st.text(max_size=40))
def test_any_caption_has_shares_that_make_one(caption: str) -> None:
    shares = sentiment(caption)
    assert all(0.0 <= share <= 1.0 for share in shares) and sum(shares) == pytest.approx(1.0)
    assert 0.0 in (shares.negative, shares.positive)


@pytest.mark.usefixtures("textblob")
def test_models_read_polarity_and_subjectivity() -> None:
    found = sentiments(["so sad today", "lunch with friends", "GREAT!!!"])
    assert found.dtype == np.float32
    assert found.ravel().tolist() == pytest.approx([-0.5, 1, 0, 0, 1, 0.75])


class Found(NamedTuple):
    polarity: float
    subjectivity: float


class Analyser:
    def analyze(self, caption: str) -> Found:
        return Found(*{"good": (0.75, 0.5), "bad": (-0.5, 1.0)}.get(caption, (0.0, 0.0)))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from hashgen.text import sentiment as module

    double = types.ModuleType("textblob.sentiments")
    double.PatternAnalyzer = Analyser  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "textblob.sentiments", double)
    for cached in (module._analyse, module.sentiment):
        cached.cache_clear()
    yield
    for cached in (module._analyse, module.sentiment):
        cached.cache_clear()


@pytest.mark.usefixtures("fake")
def test_captions_in_their_order_as_two_numbers_each() -> None:
    assert sentiments(["bad", "good", ""]).tolist() == [[-0.5, 1.0], [0.75, 0.5], [0.0, 0.0]]
    assert sentiments([]).shape == (0, 2)
    assert sentiment("bad") == Sentiment(0.5, 0.5, 0.0)


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    from hashgen.text import sentiment as module

    module._analyse.cache_clear()
    monkeypatch.setitem(sys.modules, "textblob.sentiments", None)
    said = r'^train\.sentiment: .*pip install "textblob>=0\.19"$'
    with pytest.raises(HashgenError, match=said):
        sentiment("a caption that no other test has")
    with pytest.raises(HashgenError, match=said):
        sentiments(["a caption"])
    module._analyse.cache_clear()
