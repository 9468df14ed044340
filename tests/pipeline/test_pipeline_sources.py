"""From each source of real posts to a trained model by DVC: the sample's posts, as others would bring them."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from ruamel.yaml import YAML

from hashgen.corpus.posts import Post
from hashgen.params import read_params
from hashgen.sources.sample.source import SampleSource
from tests import ROOT
from tests.doubles.clone import SMALL, Clone, stages_run
from tests.doubles.instagram_double import Instagram, code_of
from tests.doubles.instaloader_world import SECOND, World
from tests.doubles.tls_double import Answer, Request, TlsDouble

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning"),
]

POSTS = 150
STAGES = ["scrape", "filter", "split", "vocab", "featurize", "baselines", "train", "suggester", "evaluate", "report"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def drawn() -> Sequence[Post]:
    """Clean posts of the sample."""
    sizes: Mapping[str, Any] = {**SMALL["scrape"]["sample"], "dirt": 0.0, "posts": POSTS}  # type: ignore[index]
    section = read_params(ROOT / "params.yaml").scrape.sample.model_copy(update=dict(sizes))
    return list(SampleSource(section).posts())


def train(clone: Clone, source: str, **settings: Any) -> dict[str, Any]:
    """What a user types: name the source in params.yaml, then dvc repro. Returns the metrics of scrape."""
    yaml = YAML()
    params = yaml.load(clone.root / "params.yaml")
    params["scrape"]["source"] = source
    params["scrape"][source] |= settings
    params["featurize"]["allow_random"] = True
    yaml.dump(params, clone.root / "params.yaml")
    output = clone.run("dvc", "repro")
    assert set(stages_run(output)) == set(STAGES)
    evaluated = clone.json("metrics/evaluate.json")
    assert 0 < evaluated["test"]["both"]["f1"] <= 1 and evaluated["audit"] is None
    assert (clone.root / "models/hashgen/model.json").is_file()
    assert "<svg" in (clone.root / "reports/report.html").read_text()
    assert "up to date" in clone.run("dvc", "repro")
    scraped: dict[str, Any] = json.loads((clone.root / "metrics/scrape.json").read_text())
    assert (scraped["source"], scraped["posts"], scraped["with_image"]) == (source, POSTS, POSTS)
    return scraped


def test_a_table(clone: Clone, drawn: Sequence[Post]) -> None:
    rows = [
        {"image": {"bytes": post.image, "path": None}, "text": post.caption, "user": number % 60}
        for number, post in enumerate(drawn)
    ]
    pq.write_table(pa.Table.from_pylist(rows), clone.root.parent / "train.parquet")
    scraped = train(
        clone, "table", path="../train.parquet", columns={"caption": "text", "image": "image", "author": "user"}
        | dict.fromkeys(("id", "hashtags", "date")),
    )  # fmt: skip
    assert scraped["with_author"] == POSTS


def test_a_download_folder_of_instaloader(clone: Clone, drawn: Sequence[Post]) -> None:
    world = World()
    nodes = []
    for number, post in enumerate(drawn):
        size = Image.open(io.BytesIO(post.image or b"")).size
        node = world.post(code_of(number), size, post.caption, taken_at_timestamp=SECOND + number)
        world.pictures[node["display_url"]] = post.image or b""
        nodes.append(node | {"owner": {"id": str(number % 60), "username": "someone"}})
    world.download(clone.root.parent / "dump", *nodes[: POSTS // 2], target="#food")
    world.download(clone.root.parent / "dump", *nodes[POSTS // 2 :], target="#cats")
    scraped = train(clone, "instaloader", path="../dump")
    assert scraped["with_seed_hashtags"] == scraped["with_author"] == scraped["with_date"] == POSTS


class Drawn(Instagram):
    """An Instagram of drawn posts."""

    posts: Sequence[Post]

    def node(self, number: int) -> dict[str, Any]:
        caption = {"edges": [{"node": {"text": self.posts[number].caption}}]}
        return super().node(number) | {"edge_media_to_caption": caption, "owner": {"id": str(number % 60)}}

    def _picture(self, request: Request) -> Answer:
        number = int(request.path.rpartition("/")[2].partition("_")[0])
        self.fetched.append((number, 0))
        return Answer(200, self.posts[number].image or b"", {"Content-Type": "image/jpeg"})


def test_instagram(clone: Clone, drawn: Sequence[Post]) -> None:
    instagram = Drawn({"food": list(range(100)), "cats": list(range(60, POSTS))})
    instagram.posts = drawn
    with TlsDouble(instagram) as double:
        clone.env = {**clone.env, **double.environment}
        for name in ("INSTALOADER_SESSION", "INSTALOADER_USER", "HASHGEN_REFRESH"):
            clone.env.pop(name, None)
        quick = {"pause_seconds": [0, 0], "images_per_minute": 100_000, "requests_per_hour": 1000}
        scraped = train(
            clone, "instagram", hashtags=["food", "cats"], per_hashtag=90, i_have_permission=True, **quick
        )  # fmt: skip
        assert sorted(instagram.fetched) == [(number, 0) for number in range(POSTS)] and not instagram.others
        asked = len(instagram.listings)
        clone.run("dvc", "repro", "-f", "-s", "scrape")
        assert (len(instagram.listings), len(instagram.fetched)) == (asked, POSTS)
    assert {name: found["status"] for name, found in scraped["hashtags"].items()} == dict.fromkeys(
        ("food", "cats"), "complete"
    )
    state = clone.root.parent / "home/scrape/instagram.sqlite"
    assert state.stat().st_size > 100_000
