"""Model card and dataset card: heads that parse, nothing left to fill in, real posts of which little is known."""

import dataclasses
import re
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from ruamel.yaml import YAML

from hashgen.base.errors import HashgenError
from hashgen.report.dataset_card import render_dataset_card
from hashgen.report.markdown import cell, code, escape
from hashgen.report.model_card import render_model_card
from hashgen.report.provenance import licence_head, licences, period, size_category
from tests.doubles.findings import findings, metrics, posts, real_findings
from tests.doubles.settings import small_recipe, train_section
from tests.properties import examples

CARDS = [render_model_card, render_dataset_card]
RUNS = [findings, real_findings]


def head_of(card: str) -> dict[str, Any]:
    _, head, body = card.split("---\n", 2)
    assert body.startswith("\n# ")
    return dict(YAML(typ="safe").load(head))


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("run", RUNS)
def test_nothing_is_left_to_fill_in(card: Any, run: Any) -> None:
    text = card(run())
    assert card(run()) == text and text.endswith("\n")
    assert not re.search(r"TODO|More Information Needed|\bNone\b|\bnan\b|\{\{|\{%|\[\.\.\.\]", text)
    assert "dvc repro -f -s scrape" in text and "Privacy" in text
    for before, line in zip(text.splitlines(), text.splitlines()[1:], strict=False):
        if line.startswith("#"):
            assert before == "", f"no blank line before: {line}"


def test_the_model_card_of_the_sample() -> None:
    text = render_model_card(findings())
    head = head_of(text)
    assert head["license"] == "mit" and head["language"] == ["en"] and "synthetic" in head["tags"]
    (result,) = head["model-index"][0]["results"]
    assert result["dataset"]["split"] == "test" and result["task"]["type"] == "image-to-text"
    assert {(metric["type"], metric["value"]) for metric in result["metrics"]} >= {("f1", 0.5), ("bleu", 0.5)}
    assert "| model | 0.500 [0.250, 0.500] |" in text and "ceiling" in text and "random weights from a seed" in text
    assert "- `#t5`: 12 written, 2 true" in text  # written for every post
    assert "drawn pictures and invented captions" in text and "cd" * 32 in text


def test_the_model_card_of_real_posts() -> None:
    known = real_findings()
    known.metrics["vocab"]["glove"] = {"file": "glove.txt", "sha256": "ef" * 32}  # type: ignore[index]
    text = render_model_card(known)
    assert head_of(text)["license"] == "other" and head_of(text)["license_name"] == "learnt-from-posts-not-stated"
    assert "invented" not in text and "synthetic" not in text and "No ceiling is known" in text and "`net.pth`" in text
    assert "glove.txt" in text and "PDDL" in text


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("sample", "nothing to delete"),
        ("folder", "its row in the metadata file, and its picture"),
        ("table", "delete its row, and its picture file"),
        ("instaloader", "xzgrep"),
        ("instagram", "`hashgen delete -- ID`"),
    ],
)
def test_how_a_post_is_deleted_depends_on_its_source(source: str, told: str) -> None:
    known = findings()
    known.metrics["scrape"]["source"] = source  # type: ignore[index]
    _, _, part = render_model_card(known).partition("To delete a post:\n\n")
    steps = part.split("\n\n")[0].splitlines()
    assert [step[:3] for step in steps] == ["1. ", "2. ", "3. ", "4. ", "5. "]
    assert told in steps[1] and ("hashgen delete" in part) == (source == "instagram")


def test_the_dataset_card_of_the_sample() -> None:
    text = render_dataset_card(findings())
    head = head_of(text)
    assert head["license"] == "cc0-1.0" and head["size_categories"] == ["n<1K"]
    assert "| CC0-1.0 | 47 |" in text and "Dates from 2024-03-01 to 2024-03-01, invented" in text
    assert "| merged |" in text and "1 of 7 dirty posts got through" in text and "1 distinct authors" in text


def test_the_dataset_card_of_real_posts() -> None:
    licences: list[Any] = ["CC BY 2.0 | odd\nline", *[None] * 8]
    mixed = posts(9, "t").assign(licence=licences, source="folder")
    text = render_dataset_card(real_findings(manifests={**real_findings().manifests, "train": mixed}))
    head = head_of(text)
    assert head["license"] == "other" and head["license_name"] == "mixed-see-below"
    assert r"| CC BY 2.0 \| odd line | 1 |" in text and "do not share these posts" in text
    assert "No dates are known" in text and "No authors are known" in text and "dirty" not in text


@pytest.mark.parametrize(
    ("values", "head"),
    [
        (["CC0-1.0"], {"license": "cc0-1.0"}),
        (["CC BY-SA 2.0"], {"license": "other", "license_name": "cc-by-sa-2.0"}),
        (["CC BY-NC-ND 4.0"], {"license": "cc-by-nc-nd-4.0"}),
        (["https://creativecommons.org/licenses/by-sa/4.0/"], {"license": "cc-by-sa-4.0"}),
        (["http://creativecommons.org/publicdomain/zero/1.0/deed.de"], {"license": "cc0-1.0"}),
        ([" "], {"license": "other", "license_name": "not-stated"}),
        (["ODbL-1.0"], {"license": "odbl"}),
        (["CC BY 4.0", "cc-by-4.0 "], {"license": "cc-by-4.0"}),
        (
            ["http://creativecommons.org/licenses/by-nc-nd/3.0/de/"],
            {"license": "other", "license_name": "http-creativecommons.org-licenses-by-nc-nd-3.0-de"},
        ),
        (["©"], {"license": "other", "license_name": "see-below"}),
        (["Public Domain"], {"license": "other", "license_name": "public-domain"}),
        (["CC0-1.0", "MIT"], {"license": "other", "license_name": "mixed-see-below"}),
        ([None], {"license": "other", "license_name": "not-stated"}),
        ([": #\n'x"], {"license": "other", "license_name": "x"}),
    ],
)
def test_licences(values: list[str | None], head: dict[str, str]) -> None:
    frame = pd.DataFrame({"licence": pd.Series(values, dtype=object)})
    assert licence_head(licences(frame)) == head
    known = real_findings(
        manifests={split: posts(9, split[0]).assign(licence=values[0]) for split in ("train", "val", "test")}
    )
    head_of(render_dataset_card(known))


def test_a_model_that_loses_to_a_baseline_is_not_recommended() -> None:
    known = real_findings()
    known.metrics["baselines"]["test"]["popularity"] |= {"f1_at_5": 0.6, "f1_at_5_ci95": [0.55, 0.7]}
    text = render_model_card(known)
    assert "F1@5 of 0.500 is clearly below that of the baseline “most frequent hashtags” (0.600)" in text
    assert "Not better than a simple baseline" not in render_model_card(real_findings())


def test_a_model_that_over_predicts_nothing_beyond_chance() -> None:
    known = findings()
    # Once, of no post that has it.
    known.predictions["both"] = pd.Series([["new"], *known.predictions["hashtags"][1:]])
    assert "No hashtag is over-predicted by more than chance explains." in render_model_card(known)


def test_norwegian_is_no_truth_value_and_vectors_of_others_are_no_mit() -> None:
    known = findings(languages=("no", "en"))
    known.metrics["vocab"]["glove"] = {"file": "a|b.txt", "sha256": "ef" * 32}  # type: ignore[index]
    text = render_model_card(known)
    assert '- "no"\n- en\n' in text and head_of(text)["license"] == "other" and "`a\\|b.txt`" in text


def test_sizes_and_periods() -> None:
    assert [size_category(n) for n in (3, 1000, 99_999, 10**7)] == ["n<1K", "1K<n<10K", "10K<n<100K", "n>1M"]
    dates = pd.to_datetime(pd.Series(["2024-05-02", None, "2023-01-09"]), utc=True)
    assert period(pd.DataFrame({"date": dates})) == ("2023-01-09", "2024-05-02")
    assert period(pd.DataFrame({"date": pd.Series([None], dtype="datetime64[ns, UTC]")})) is None
    assert period(pd.DataFrame({"id": ["a"]})) is None


@pytest.mark.parametrize("card", CARDS)
def test_metrics_of_another_version_end_in_one_line(card: Any) -> None:
    known = metrics()
    del known["split"]["sizes"]
    with pytest.raises(HashgenError, match="lack a value"):
        card(findings(metrics=known))


HOSTILE = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "[CC BY](javascript:alert(1))",
    "![x](data:text/html;base64,PHN2Zz4=)",
    "[x]: javascript:alert(1)",
    "<javascript:alert(1)>",
    "javascript:alert(1)",
    "a | b || c",
    "a \\| b \\\\| c",
    "back\\",
    "`code` ``two`` ` one",
    "`",
    "```\nfence\n```",
    "~~~ fence ~~~",
    "line\n\n# heading\n\n---\n\n- item\n\n<div>",
    "# heading",
    "- item",
    "+ item",
    "* item",
    "1. item",
    "2) item",
    "> quote",
    "===",
    "---",
    "    indented",
    "*stars* __lines__ _one_ ~~struck~~ $maths$",
    "&lt;b&gt; &#60;i&#62; &amp;",
    "\\<b>",
    "{{ found }} {% if %}",
]
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def parts_of(card: str) -> list[Token]:
    """What a parser makes of a card below its head: paragraphs, cells, code, text."""
    tokens = MARKDOWN.parse(card.split("---\n", 2)[2])
    return [part for token in tokens for part in (token, *(token.children or ()))]


def structure(card: str) -> list[tuple[str, str, str]]:
    return [(part.type, part.tag, str(part.attrs)) for part in parts_of(card) if not part.type.startswith("text")]


def with_text(text: str) -> list[str]:
    """Both cards of a run that has `text` wherever the world gives text."""
    columns = {"licence": text, "source": [text, *["folder"] * 8], "hashtags": [[text]] * 9}
    manifests = {split: posts(9, split[0], **columns) for split in ("train", "val")} | {"test": posts(12, "p")}
    about = dataclasses.replace(real_findings().about, recipe=small_recipe(weights=f"a/{text}b"))
    known = real_findings(manifests=manifests, about=about)
    known.metrics["vocab"]["glove"] = {"file": text, "sha256": "ef" * 32}  # type: ignore[index]
    return [card(known) for card in CARDS]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_outside_shows_as_it_is(text: str) -> None:
    for card, plain in zip(with_text(text), with_text("word"), strict=True):
        assert structure(card) == structure(plain)
        shown = "".join(part.content for part in parts_of(card) if part.type.startswith("text"))
        assert " ".join(text.split()) in shown


@examples(200)
@given(st.text(st.sampled_from("\\`*_[]<>()#+-.!|~&;:=$1a {}\n\"'/")))
def test_any_text_is_one_piece_of_text(text: str) -> None:
    # Where a paragraph, an item and a cell begin, and within a line.
    for frame in ("{}", "- {} b", "x {} b", "| a |\n|---|\n| {} |"):
        filled, plain = (MARKDOWN.parse(frame.format(value)) for value in (escape(f"{text}a"), "word"))
        assert [token.type for token in filled] == [token.type for token in plain]
        inline = [part for token in filled for part in token.children or () if part.type != "text"]
        assert {part.type for part in inline} <= {"text_special"}
        inside = [
            part for token in MARKDOWN.parse(frame.format(cell(code(f"{text}a")))) for part in token.children or ()
        ]
        assert "code_inline" in {part.type for part in inside} <= {"text", "code_inline"}


@pytest.mark.parametrize(
    "text",
    [
        "CC BY-SA 4.0",
        "CC-BY",
        "https://creativecommons.org/licenses/by/4.0/",
        "http://x.org/~me/a_b?c=1&d=2#e",
        '© 2020, a (b): 50\N{NO-BREAK SPACE}% + 1.5 - x\'s "y"!',
        "#1",
        "-5",
        "1.5",
        "snake_case",
    ],
)
def test_ordinary_text_stays_readable(text: str) -> None:
    assert escape(text) == text


@pytest.mark.parametrize(
    ("text", "code_of_it"), [("a*b", "`a*b`"), ("a`b", "``a`b``"), ("`a``", "``` `a`` ```"), ("a\n b", "`a b`")]
)
def test_code(text: str, code_of_it: str) -> None:
    assert code(text) == code_of_it


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("keeps_posts", [False, True])
def test_no_items_of_a_list_run_together(card: Any, run: Any, keeps_posts: bool) -> None:
    text = card(run(keeps_posts=keeps_posts))
    assert "HASHGEN_HOME" in text and not re.search(r"[^\s-]- |[^\s#]#{1,6} |[.)]\d\. |\|\|", text)


def test_the_card_of_an_ensemble_names_its_members_and_what_they_keep() -> None:
    known = findings()
    section = train_section(model="ensemble")
    about = dataclasses.replace(known.about, section=section, epoch=None)
    text = render_model_card(dataclasses.replace(known, about=about, keeps_posts=True))
    assert "the mean of what several models say (ranker, lstm)." in text
    assert "the hashtags and the words, or pieces of words, of the captions of its training posts" in text
