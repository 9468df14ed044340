"""From a download folder through the stages scrape and filter: what is kept, counted, and never written."""

import json
import lzma
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from hashgen.base.errors import HashgenError
from stages.filter import main as filter_main
from stages.scrape import main as scrape_main
from tests import ROOT
from tests.doubles.instaloader_world import SECOND, Node, World

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning")

CAPTION = "A lovely morning with fresh bread from the old bakery #food #bread"
PLANTED = ("planted_", "Planted", "secretsignature", "cdn.example", "777", "maps.google")


def scrape(folder: Path, **section: str) -> dict[str, Path]:
    params = YAML().load((ROOT / "params.yaml").read_text())
    params["scrape"]["source"] = "instaloader"
    params["scrape"]["instaloader"] |= {"path": str(folder / "dump"), **section}
    YAML().dump(params, folder / "params.yaml")
    names = {"out": "data/raw", "truth": "data/truth.parquet", "metrics": "metrics/scrape.json", "home": "home"}
    options: dict[str, Any] = {option: folder / name for option, name in names.items()} | {
        "params": folder / "params.yaml"
    }
    scrape_main(**options)
    return options


def fill(world: World, dump: Path) -> dict[str, Node]:
    """Two hashtags and an account; one post in both hashtags, and two of one second in one of them."""
    captions = [f"{CAPTION} and number {n}" for n in range(6)]
    nodes = {
        f"CODE{n}": world.post(f"CODE{n}", caption=text, taken_at_timestamp=SECOND + n)
        for n, text in enumerate(captions)
    }
    nodes["TWIN"] = world.post("TWIN", (70, 70), f"{CAPTION} by a twin", taken_at_timestamp=SECOND + 3)
    nodes["MANY"] = world.carousel("MANY", [(80, 60), (60, 80)], caption=CAPTION, taken_at_timestamp=SECOND + 9)
    nodes["FILM"] = world.post("FILM", caption=CAPTION, kind="GraphVideo", taken_at_timestamp=SECOND + 10)
    for node in nodes.values():
        node["edge_media_to_tagged_user"] = {"edges": [{"node": {"user": {"username": "planted_friend"}}}]}
        node["edge_media_to_parent_comment"] = {"edges": [{"node": {"text": "Planted comment"}}]}
        node["accessibility_caption"] = "Photo by Planted Name"
    food = [nodes[code] for code in ("CODE0", "CODE1", "CODE3", "TWIN", "MANY", "FILM")]
    world.download(dump, *food, target="#food")
    world.download(dump, nodes["CODE1"], nodes["CODE2"], target="#bread")
    world.download(
        dump, nodes["CODE4"], nodes["CODE5"], target="planted_user", filename_pattern="{profile}_{shortcode}"
    )
    return nodes


def test_a_dump_through_scrape_and_filter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    nodes = fill(world, tmp_path / "dump")
    (tmp_path / "dump" / "planted_user" / "x.json").write_text("{")
    options = scrape(tmp_path, carousel="all")
    metrics = json.loads(options["metrics"].read_text())
    assert (metrics["posts"], metrics["with_image"], metrics["with_author"], metrics["with_date"]) == (10, 8, 10, 10)
    assert (metrics["shared_names"], metrics["broken_rows"], metrics["with_seed_hashtags"]) == (1, 1, 8)
    outputs: dict[str, Any] = {name: tmp_path / "data" / f"{name}.parquet" for name in ("posts", "rejects")}
    filter_main(raw=options["out"], metrics=tmp_path / "metrics/filter.json", params=options["params"], **outputs)
    kept, rejects = (pd.read_parquet(path).set_index("id") for path in outputs.values())
    assert set(kept.index) == {"CODE0", "CODE1", "CODE2", "CODE4", "CODE5", "MANY", "MANY/1"}
    assert kept["post"].to_list().count("MANY") == 2
    assert sorted(kept["seed_hashtags"]["CODE1"]) == ["bread", "food"]
    assert rejects["reason"].to_dict() | {"MANY": ""} == {"TWIN": "bad_image", "FILM": "video", "MANY": ""}
    images = pd.read_parquet(options["out"]).drop_duplicates(["id", "media_index"]).set_index(["id", "media_index"])
    for code in kept.index:
        post, _, place = code.partition("/")
        index = int(place or 0)
        assert images.loc[(post, index), "image"]["bytes"] == world.pictures_of(nodes[post])[index]
    err = capsys.readouterr().err
    assert err.count("warning: ") == len(err.splitlines()) == 2 and not any(word in err for word in PLANTED)


def test_nothing_of_people_places_and_addresses_is_written(tmp_path: Path) -> None:
    fill(World(), tmp_path / "dump")
    found = "".join(lzma.decompress(path.read_bytes()).decode() for path in (tmp_path / "dump").rglob("*.json.xz"))
    assert all(word in found for word in PLANTED[:-1])
    options = scrape(tmp_path, carousel="all", video="thumbnail")
    shards = sorted(options["out"].iterdir())
    table = pd.concat(pd.read_parquet(path) for path in shards)
    assert table["author"].nunique() == 1 and table["author"].str.fullmatch("[0-9a-f]{32}").all()
    cells = [str(value) for name in table.columns.drop(["image", "author", "sha256"]) for value in table[name]]
    cells += [str(image["path"]) for image in table["image"]]
    raw = b"".join(path.read_bytes() for path in [*shards, options["metrics"]]).decode("latin-1")
    for word in PLANTED:
        assert not any(word in cell for cell in cells), word
        assert word == "777" or word not in raw


def test_same_folder_same_bytes(tmp_path: Path) -> None:
    world = World()
    written = []
    for number in range(2):
        fill(world, tmp_path / str(number) / "dump")
        (tmp_path / "home").mkdir(exist_ok=True)
        (tmp_path / str(number) / "home").symlink_to(tmp_path / "home")
        options = scrape(tmp_path / str(number))
        written.append(
            [path.read_bytes() for path in sorted(options["out"].iterdir())] + [options["metrics"].read_bytes()]
        )
    assert written[0] == written[1]


def test_a_folder_without_posts_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "dump").mkdir()
    with pytest.raises(HashgenError, match=r"no \.json or \.json\.xz files of posts") as caught:
        scrape(tmp_path)
    assert "\n" not in str(caught.value) and not (tmp_path / "data" / "raw").exists()
