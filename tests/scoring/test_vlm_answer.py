"""Answers of language models, laid out in every way, and answers that are none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashgen.scoring.vlm.answer import read_answer
from hashgen.text.captions import normalise_hashtags
from tests.properties import examples

THREE = ["sunset", "goldenhour", "sea"]


@pytest.mark.parametrize(
    "text",
    [
        "#sunset #goldenhour #sea",
        "#sunset\n#goldenhour\n#sea\n",
        "#Sunset, #GoldenHour, #Sea",
        "#sunset#goldenhour#sea",
        "＃sunset ＃goldenhour ＃sea",
        r"\#sunset \#goldenhour \#sea",
        "1. #sunset\n2. #goldenhour\n3. #sea",
        "#1 #sunset\n#2 #goldenhour\n#3 #sea",
        "Here are 3 hashtags for your picture:\n\n- **#sunset**\n- **#goldenhour**\n- **#sea**\n\nEnjoy!",
        "sunset\ngolden hour\nsea",
        "sunset, golden hour, sea",
        "sunset, golden-hour, sea.",
        "sunset; golden hour; sea",
        "sunset | golden hour | sea",
        "1. sunset\n2. golden hour\n3. sea",
        "1) sunset\n2) golden hour\n3) sea",
        "(1) sunset (2) golden hour (3) sea",
        "[1] sunset\n[2] golden hour\n[3] sea",
        "1.sunset 2.goldenhour 3.sea",
        "#1 sunset\n#2 golden hour\n#3 sea",
        "- sunset\n* golden hour\n• sea",
        "🌅 sunset\n✨ golden hour\n🌊 sea",
        "Hashtags: sunset, golden hour, sea",
        "**Hashtags:** sunset, golden hour, sea",
        "Sure, here you are:\nsunset\ngolden hour\nsea\nLet me know if you need more!",
        "`sunset`, `golden hour`, `sea`",
        "\"sunset\", 'golden hour', sea",
        '["sunset", "golden hour", "sea"]',
        '["#sunset", "#GoldenHour", "#sea"]',
        "['sunset', 'golden hour', 'sea']",
        '{"hashtags": ["#sunset", "goldenhour", "sea"], "count": 3}',
        '[{"hashtag": "sunset"}, {"hashtag": "goldenhour"}, {"hashtag": "sea"}]',
        '{"hashtags": ["sunset", "goldenhour", "sea"], "why": "Because the picture shows a sunset at sea."}',
        'The list:\n["sunset", "golden hour", "sea"]\nHave fun!',
        '```json\n["sunset", "golden hour", "sea"]\n```',
        '```json ["sunset", "golden hour", "sea"] ```',
        "```\n#sunset\n#goldenhour\n#sea\n```",
        "```text\nsunset\ngolden hour\nsea\n```",
        "~~~\nsunset, golden hour, sea\n~~~",
        "```#sunset #goldenhour #sea```",
        '["sunset", "golden hour", "sea',  # broken off
        "<think>Perhaps #dog? No.</think>#sunset #goldenhour #sea",
        "Perhaps #dog? No.</think>\n#sunset #goldenhour #sea",
        "#sunset #goldenhour #sea #Sunset",
        "\r\n#sunset\r\n#goldenhour\r\n#sea\r\n",
    ],
)
def test_hashtags_are_found_in_any_layout(text: str) -> None:
    assert read_answer(text) == THREE


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t",
        "I'm sorry, I can't help with that.",
        "I cannot see a picture",
        "This picture shows a quiet beach in the evening, with two boats.",
        "What should it be?",
        "<think>Perhaps #dog or",
        "[]",
        "{}",
        '{"hashtags": []}',
        "1. 2. 3.",
        "#1 #2",
        "2024",
        "###",
        "# ",
        "[" * 50_000,
        "https://example.com/#sea",
        "\ud83d",
        "\x00",
    ],
)
def test_junk_holds_no_hashtag(text: str) -> None:
    assert read_answer(text) == []


def test_letters_of_json_are_read_as_json_has_them() -> None:
    assert read_answer(json.dumps(["#café", "#日本"])) == ["café", "日本"]


NAMES = st.lists(st.from_regex(r"[a-z]{3,9}", fullmatch=True), min_size=1, max_size=12, unique=True)
LAYOUTS = {
    "tags": lambda names: " ".join(f"#{name}" for name in names),
    "lines": lambda names: "\n".join(names),
    "numbers": lambda names: "\n".join(f"{place}. {name}" for place, name in enumerate(names, 1)),
    "bullets": lambda names: "\n".join(f"- #{name}" for name in names),
    "commas": lambda names: ", ".join(names),
    "json": lambda names: json.dumps({"hashtags": names}),
    "fence": lambda names: f"Here:\n```json\n{json.dumps(names, indent=1)}\n```",
}


@examples(100)
@given(NAMES, st.sampled_from(sorted(LAYOUTS)))
def test_every_layout_gives_the_same_hashtags(names: list[str], layout: str) -> None:
    assert read_answer(LAYOUTS[layout](names)) == names


@examples(200)
@given(st.text(st.one_of(st.sampled_from('#[]{}",:.-*`1\n '), st.characters()), max_size=80))
def test_whatever_comes_hashtags_are_valid_and_stand_once(text: str) -> None:
    found = read_answer(text)
    assert normalise_hashtags(found) == found
    assert len(set(found)) == len(found)
