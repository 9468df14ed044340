"""Model card and dataset card: heads that parse, nothing left to fill in, real posts of which little is known."""

import re
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from hashgen.base.errors import HashgenError
from hashgen.report.dataset_card import render_dataset_card
from hashgen.report.model_card import render_model_card
from hashgen.report.provenance import licence_head, licences, period, size_category
from tests.doubles.findings import findings, metrics, posts, real_findings

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
    known.metrics["baselines"]["test"]["popularity"] |= {"f1": 0.6, "f1_ci95": [0.55, 0.7]}
    text = render_model_card(known)
    assert "F1 of 0.500 is clearly below that of the baseline “most frequent hashtags” (0.600)" in text
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
