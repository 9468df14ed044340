"""The report: what its page shows, what it escapes, what it can do without, and who can read it."""

import dataclasses
import re
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from hashgen.base.errors import HashgenError
from hashgen.report.examples import thumbnail
from hashgen.report.findings import read_history
from hashgen.report.model_card import render_model_card
from hashgen.report.page import render_page, versions
from hashgen.report.score_tables import paper_scores, restarts
from tests.doubles.findings import findings, metrics, posts, real_findings
from tests.doubles.settings import train_section

SECTIONS = ("headline", "grid", "numbers", "curves", "scores", "data", "cards", "hashtags", "reproduce")
COLUMNS = ",".join(findings().history.columns)
VOID = {"meta", "link", "img", "br", "path", "use", "col", "hr"}


class Outline(HTMLParser):
    """All tags with their attributes, and a check that each is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def text_of(page: str) -> str:
    """The page without its tags, white space drawn together."""
    return " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"<(style|svg).*?</\1>", "", page, flags=re.DOTALL)).split())


@pytest.fixture(scope="module")
def sample_page() -> str:
    return render_page(findings())


@pytest.fixture(scope="module")
def real_page() -> str:
    return render_page(real_findings())


def test_the_sections_stand_in_order_and_the_contents_lead_to_them(sample_page: str) -> None:
    outline = Outline(sample_page)
    assert tuple(attributes["id"] for attributes in outline.all("h2")) == SECTIONS
    assert [attributes["href"] for attributes in outline.all("a")] == [f"#{name}" for name in SECTIONS]


def test_figures_intervals_baseline_and_ceiling_stand_in_the_page(sample_page: str) -> None:
    page = text_of(sample_page)
    assert "0.500 0.250–0.500" in page and "0.875" in page and "ceiling" in page
    assert "nearest posts (picture and caption)" in page and "1,000 of 1,300 rows were kept" in page
    assert "of 7 dirty posts, 1 got through; of 1,227 clean posts, 2 were lost" in page
    assert "not clearly above the best baseline" in page  # 0.25 to 0.5 against 0.15 to 0.3
    assert "the same single hashtag for every post 0.110" in page and "2.24" in page
    assert "captions of 11 words or more (ignoring case and punctuation) 21 shorter captions, which may" in page
    assert "broken rows skipped: 17" in page and "something new" in page


def test_a_model_that_beats_its_baselines_and_one_that_does_not() -> None:
    strong, weak = metrics(), metrics()
    strong["evaluate"]["test"]["both"]["f1_at_5_ci95"] = [0.4, 0.6]
    weak["baselines"]["test"]["knn_both"]["f1_at_5"] = 0.6
    assert "is clearly above the best baseline" in text_of(render_page(findings(metrics=strong)))
    weak["baselines"]["test"]["knn_both"]["f1_at_5_ci95"] = [0.4, 0.7]
    assert "is not above the best baseline" in text_of(render_page(findings(metrics=weak)))
    weak["baselines"]["test"]["knn_both"]["f1_at_5_ci95"] = [0.55, 0.7]
    page = text_of(render_page(findings(metrics=weak)))
    assert "is clearly below the best baseline" in page and "Clearly below the best baseline too" not in page
    weak["baselines"]["test"]["knn_both"] |= {"p_at_1": 0.99, "p_at_1_ci95": [0.98, 1.0]}
    assert "Clearly below the best baseline too: P@1 ." in text_of(render_page(findings(metrics=weak)))


def test_scores_that_an_input_does_not_help_are_named() -> None:
    known = metrics()
    assert "does not improve" not in text_of(render_page(findings(metrics=known)))
    known["evaluate"]["test"]["no_caption"]["p_at_1"] = known["evaluate"]["test"]["both"]["p_at_1"]
    page = text_of(render_page(findings(metrics=known)))
    assert "The caption does not improve P@1." in page and "The picture does not improve" not in page
    about = findings().about
    alone = findings(
        metrics=known, about=dataclasses.replace(about, section=about.section.model_copy(update={"inputs": "image"}))
    )
    assert "does not improve" not in text_of(render_page(alone))


def test_overfitting_and_restarts_are_told() -> None:
    history = pd.DataFrame(
        {name: [3.0 - epoch / 4 for epoch in range(8)] for name in findings().history.columns} | {"epoch": range(1, 9)}
    )
    assert "overfits" not in text_of(render_page(findings(history=history)))
    history["val_loss"] = [*history["train_loss"][:-2], 1.3, 1.31]  # hardly above the training loss, 1.25
    assert "overfits" not in text_of(render_page(findings(history=history)))
    history["val_loss"] = [3.0, 2.5, 2.4, 2.3, 2.3, 2.4, 2.5, 2.6]
    page = text_of(render_page(findings(history=history)))
    assert "the model overfits" in page and "warm restart" not in page
    annealed = pd.DataFrame({"epoch": range(1, 8), "learning_rate": [2.0, 1.0, 0.1, 2.0, 1.0, 0.1, 2.0]})
    assert restarts(annealed) == [3, 6] and restarts(annealed[:3]) == []
    warmed_up = pd.DataFrame({"epoch": range(1, 6), "learning_rate": [0.5, 2.0, 1.0, 0.5, 0.0]})
    assert restarts(warmed_up) == restarts(warmed_up[:0]) == []


def test_captions_are_escaped_and_nothing_is_fetched() -> None:
    page = render_page(findings(thumbnails={"p1": thumbnail(Image.new("RGB", (9, 9)))}))
    assert "<script" not in page and "&lt;script&gt;" in page and "so &lt;b&gt;happy" in page
    links = re.findall(r"""(?:src|href)=["']([^"']*)["']""", page) + re.findall(r"url\(([^)]*)\)", page)
    assert any(link.startswith("data:image/jpeg;base64,") for link in links)
    assert all(link.startswith(("data:", "#")) for link in links) and "@import" not in page


def test_the_same_inputs_give_the_same_page(sample_page: str) -> None:
    assert render_page(findings()) == sample_page


def test_figures_have_words_tables_have_captions_and_headings_and_ids_are_unique(sample_page: str) -> None:
    outline = Outline(sample_page)
    assert len(outline.all("svg")) == 8
    assert all(svg["role"] == "img" and len(svg["aria-label"] or "") > 20 for svg in outline.all("svg"))
    tables = re.findall(r"<table.*?</table>", sample_page, flags=re.DOTALL)
    assert len(tables) > 10
    assert all("<caption>" in table and 'scope="col"' in table and 'scope="row"' in table for table in tables)
    assert all(image["alt"] for image in outline.all("img"))
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    scrolling = [attributes for _, attributes in outline.tags if attributes.get("class") == "scroll"]
    assert scrolling and all(a["tabindex"] == "0" and a["aria-label"] for a in scrolling)


def test_hits_extras_and_misses_are_told_by_sign_and_text(sample_page: str) -> None:
    page = " ".join(text_of(sample_page).replace("&nbsp;", " ").split())
    assert "✓ right ✓ #t0" in page and "✗ extra ✗ #t5" in page and "○ missed ○ #t" in page
    # Picture of p1 with the caption of p2: t0 is written for both, t2 with the caption only, x for neither.
    assert (
        "▣❝ from both: #t0 ❝ from the caption: #t2 + from neither: #x" in page
        and "#t0 ▣ from the picture: #t1" not in page
    )


def test_pictures_that_are_left_out_are_said_to_be(sample_page: str) -> None:
    assert "picture left out" in sample_page and "<img" not in sample_page


def test_real_posts_of_which_little_is_known(sample_page: str, real_page: str) -> None:
    page = text_of(real_page)
    assert "Synthetic" not in page and "invented" not in page and "No ceiling is known" in page and "dirty" not in page
    assert "net.pth" in page and "random weights" not in page and "oracle" not in page
    assert "found under" not in page and "ceiling of" not in page
    assert "captions (ignoring case and punctuation) 21" in page and "37.5 % of the test posts have a caption" in page
    assert "authors none known" in page and "authors none known" not in text_of(sample_page)
    Outline(real_page)


def test_real_posts_without_any_baseline_or_interval() -> None:
    known = real_findings().metrics
    known["baselines"]["test"].clear()
    for scores in known["evaluate"]["test"].values():
        for key in [key for key in scores or {} if key.endswith("_ci95")]:
            del scores[key]
    page = text_of(render_page(real_findings(metrics=known)))
    assert "clearly above" not in page and "0.500" in page


@pytest.mark.parametrize(
    "table",
    [
        {"food": {"wanted": 10, "got": 7, "status": "refused"}},
        [{"hashtag": "food", "wanted": 10, "got": 7, "status": "refused"}],
    ],
)
def test_what_a_source_was_asked_for(table: Any) -> None:
    known = metrics()
    known["scrape"] |= {"hashtags": table, "media_gone": 31, "rate": 0.5, "resumed": True}
    page = text_of(render_page(findings(metrics=known)))
    assert "hashtag wanted got status food 10 7 refused" in page and "media gone: 31" in page
    assert "resumed" not in page


def test_sources_and_seeds_stand_in_tables() -> None:
    known = metrics()
    known["filter"]["sources"]["other"] = {"raw": 10, "merged": 2, "kept": 4, "dropped": {"emoji": 4}}
    page = text_of(render_page(findings(metrics=known)))
    assert "other 8 4 50 % 4" in page and "food 40 30 75 % 10" in page


def test_of_very_many_seeds_those_with_most_posts_stand() -> None:
    known = metrics()
    known["filter"]["seeds"] = {f"s{n}": {"posts": 1 + (n == 777), "kept": 1, "dropped": {}} for n in range(1234)}
    page = text_of(render_page(findings(metrics=known)))
    assert "By seed hashtag (the 200 with the most posts, of 1,234)" in page and "s777 2 1 50 %" in page
    assert len(page) < 50_000


def test_what_knows_nothing_has_one_score_by_the_papers_protocol() -> None:
    """A model that is fed true hashtags is scored on those that it knows, a guess on all: as in the table below."""
    evaluate: dict[str, Any] = {"test": {"paper_protocol": {"model": 0.7, "constant": 0.11, "nothing": 0.6}}}
    assert paper_scores(evaluate) == evaluate["test"]["paper_protocol"]
    evaluate["test"]["bridge"] = {"nothing": {"paper": 0.5}, "constant": {"paper": 0.05}, "lstm": {"paper": 0.7}}
    assert paper_scores(evaluate) == {"model": 0.7, "constant": 0.05, "nothing": 0.5}


@pytest.mark.parametrize("path", [("evaluate", "test", "paper_protocol"), ("split", "leaks"), ("filter", "dropped")])
def test_metrics_of_another_version_end_in_one_line(path: tuple[str, ...]) -> None:
    known = metrics()
    inner: Any = known
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    with pytest.raises(HashgenError, match="lack a value") as caught:
        render_page(findings(metrics=known))
    assert "\n" not in str(caught.value)


def test_what_each_model_costs_stands_beside_its_score() -> None:
    known = metrics()
    other = {"test": known["evaluate"]["test"], "best_epoch": 2, "parameters": 1234567}
    known["evaluate"] |= {"model": "ranker", "parameters": None, "others": {"lstm": other}}
    about = findings().about
    chosen = dataclasses.replace(about, section=train_section(model="ranker"))
    found = findings(
        metrics=known, about=chosen, trained=about,
        seconds={"train": 61.5, "suggester": 8.25}, suggestion_seconds={"lstm": 0.0234},
    )  # fmt: skip
    assert found.training_seconds == {"ranker": 8.25, "lstm": 61.5}
    page = text_of(render_page(found)).replace("&#39;", "'")
    head = "What the models cost, beside their score. model F1@5, test parameters seconds to train ms a suggestion"
    rows = "ranker 0.500 0.250–0.500 – 8.25 – the paper's LSTM 0.500 0.250–0.500 1,234,567 61.5 23.4"
    assert f"{head} {rows}" in page


def test_seconds_seeds_hashes_and_versions() -> None:
    page = text_of(render_page(findings(seconds={"train": 61.5, "nothing": 7777.0})))
    assert "train 61.5" in page and "split not recorded" in page and "7777" not in page
    assert "train.seed 5" in page and "cd" * 32 in page
    assert f"torch {versions()['torch']}" in page and next(iter(versions())) == "python"


def test_what_caps_cut_is_told(sample_page: str) -> None:
    page = text_of(sample_page)
    # Of 47 posts with 1 to 6 hashtags 15 have 5 or 6: 22 of 162 hashtags lie beyond the fourth.
    assert "train.hashtag_length 4 cuts 31.9 % of the posts and 13.6 % of all hashtags" in page


def test_many_hashtags_and_long_captions_stay_small() -> None:
    hashtags: list[Any] = [[f"h{k}", f"g{k}", f"h{k // 7}x"] for k in range(3000)]
    known = posts(3000, "m").assign(hashtags=hashtags)
    page = render_page(findings(manifests={**findings().manifests, "train": known}))
    assert len(page) < 400_000


def test_history_of_one_epoch() -> None:
    assert render_page(findings(history=findings().history.head(1))).count("<svg") == 8


@pytest.mark.parametrize(
    "text", ["", "epoch,train_loss\n1,2\n", "\x00", COLUMNS, f"{COLUMNS}\n1{',x' * 7}\n", f"{COLUMNS}\n1{',' * 7}\n"]
)
def test_a_broken_history_names_the_stage(tmp_path: Any, text: str) -> None:
    path = tmp_path / "history.csv"
    path.write_text(text)
    with pytest.raises(HashgenError, match="run the stage train again"):
        read_history(path, 1)


def test_a_model_without_epochs_has_a_page_without_curves(sample_page: str) -> None:
    known = metrics()
    for split in ("val", "test"):
        known["evaluate"][split]["paper_protocol"] = {"constant": 0.11, "nothing": 0.6}
    known["evaluate"] |= {"best_epoch": None, "decoding": None}
    run = findings(metrics=known, history=findings().history.head(0))
    page = render_page(run)
    assert "not trained in epochs" in text_of(page) and "this model would get" not in text_of(page)
    assert page.count("<svg") == sample_page.count("<svg") - 3
    card = render_model_card(run)
    assert "; epoch" not in card and "| decoding" not in card


def test_hashtags_that_are_never_true_or_never_written() -> None:
    test = pd.DataFrame({"id": ["p1", "p2"], "caption": ["a", "b"], "hashtags": [["a"], ["a"]], "both": [["b"], ["b"]]})
    ranked: list[Any] = [["b", "t1"], ["c", "b"]]
    test = test.assign(split="test", ranked=ranked)
    page = text_of(render_page(findings(predictions=test)))
    assert "#b 0 0 2 – 2 0.000 –" in page and "#a 0 2 0 0.00 ▼ 0 – 0.000" in page and "#c 0 0 0 – 1 0.000 –" in page
    assert "Each hashtag of training that test posts have is among the five of some post." in page
    hashtags: list[Any] = [["t0", "t1"], ["t2", "new"]]
    page = text_of(render_page(findings(predictions=test.assign(hashtags=hashtags))))
    # Of the 30 training posts all have t0, 20 have t2; t1 is suggested, and no training post has "new".
    assert "Never among the five : 2 hashtags of training that test posts have." in page
    assert "With the number of training posts: #t0 (30), #t2 (20)." in page


def test_how_well_probabilities_hold_is_drawn() -> None:
    known = metrics()
    bins = [{"count": 40, "confidence": 0.25, "right": 0.2}, {"count": 20, "confidence": 0.875, "right": 0.9}]
    known["evaluate"]["test"]["both"]["calibration"] = {"bins": bins, "ece": 0.0375, "brier": 0.125}
    page = render_page(findings(metrics=known))
    assert "25 % 20 % 40" in text_of(page) and "87.5 % 90 % 20" in text_of(page)
    labels = [svg["aria-label"] for svg in Outline(page).all("svg")]
    assert "Share of hashtags that is true, by their mean probability: 0.25: 0.20; 0.88: 0.90." in labels
    assert len(labels) == len(Outline(render_page(findings())).all("svg")) + 1


def test_pages_of_experiments_are_linked_if_they_are_there() -> None:
    page = render_page(findings(beside=("seeds.html",)))
    hrefs = [link["href"] for link in Outline(page).all("a")]
    assert "seeds.html" in hrefs and "ablations.html" not in hrefs
    assert "other models and fewer posts (not there yet: make ablations ); other seeds" in text_of(page)
