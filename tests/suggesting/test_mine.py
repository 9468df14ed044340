import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from hashgen import Suggester
from hashgen.base.errors import HashgenError
from hashgen.corpus.posts import Post
from hashgen.suggesting.mine import open_posts, write_mine
from tests.doubles.instaloader_world import World
from tests.doubles.model_folder import write_model_folder


@pytest.fixture(scope="module")
def suggester(tmp_path_factory: pytest.TempPathFactory) -> Suggester:
    return Suggester.load(write_model_folder(tmp_path_factory.mktemp("mine"), captions=True), device="cpu")


def pictures(folder: Path, number: int) -> list[Path]:
    """Noise, each picture of its own."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    paths = [folder / f"{place}.png" for place in range(number)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(path)
    return paths


def write_folder(folder: Path, texts: list[str]) -> Path:
    names = [path.name for path in pictures(folder, len(texts))]
    rows = [json.dumps({"file_name": name, "text": text}) for name, text in zip(names, texts, strict=True)]
    (folder / "metadata.jsonl").write_text("\n".join(rows))
    return folder


def read(suggester: Suggester, path: Path, file: Path) -> tuple[int, int]:
    posts, total = open_posts(path, ("caption", "image", None))
    return write_mine(posts, suggester, file, total)


def test_own_hashtags_are_suggested_without_training(suggester: Suggester, tmp_path: Path) -> None:
    texts = [f"morning run number {number} #run #TeamTiger" for number in range(12)] + ["slow day #cosycorner"]
    file = tmp_path / "mine.safetensors"
    assert read(suggester, write_folder(tmp_path / "posts", texts), file) == (13, 0)
    own = suggester.with_mine(file)
    before = suggester.suggest(caption="morning run done", max=10)
    after = own.suggest(caption="morning run done", max=10, explain=True)
    assert "teamtiger" not in [one.hashtag for one in before]
    found = {one.hashtag: one for one in after}
    assert found["teamtiger"].confidence > 0.5 and found["teamtiger"].posts == 0
    assert found["teamtiger"].why is not None and found["teamtiger"].why.mine
    assert "cosycorner" not in found  # of a post that is nothing like this one
    # Nothing is taken away, and the suggester without own posts stays as it was.
    assert all(found[one.hashtag].confidence >= one.confidence for one in before if one.hashtag in found)
    assert suggester.suggest(caption="morning run done", max=10) == before


def test_few_own_posts_say_little(suggester: Suggester, tmp_path: Path) -> None:
    confidence = []
    for number in (1, 5, 30):
        texts = [f"morning run {place} #teamtiger" for place in range(number)]
        read(suggester, write_folder(tmp_path / str(number), texts), tmp_path / "mine.safetensors")
        answer = suggester.with_mine(tmp_path / "mine.safetensors").suggest(caption="morning run", prefix="team")
        confidence.append(answer[0].confidence)
    assert confidence == pytest.approx([1 / 6, 5 / 10, 20 / 25], abs=0.01)


def test_captions_are_kept_as_models_see_them_and_pictures_are_not(suggester: Suggester, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "posts", ["a walk with @anna https://example.com #walk"])
    read(suggester, folder, tmp_path / "mine.safetensors")
    content = (tmp_path / "mine.safetensors").read_bytes()
    assert b"anna" not in content and b"example.com" not in content and b"a walk with" in content
    assert (folder / "0.png").read_bytes()[100:140] not in content


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning")
def test_a_table_and_a_download_of_instaloader_are_read(suggester: Suggester, tmp_path: Path) -> None:
    paths = pictures(tmp_path / "table", 2)
    rows = "".join(f"a day out #walk,{path.name}\n" for path in paths)
    (tmp_path / "table/posts.csv").write_text(f"text,file\n{rows}")
    posts, total = open_posts(tmp_path / "table/posts.csv", ("text", "file", None))
    assert write_mine(posts, suggester, tmp_path / "a.safetensors", total) == (2, 0)
    names = "".join(f"a day out,#walk sea,{path.name}\n" for path in paths)
    (tmp_path / "table/tagged.csv").write_text(f"text,tags,file\n{names}")
    posts, total = open_posts(tmp_path / "table/tagged.csv", ("text", "file", "tags"))
    assert write_mine(posts, suggester, tmp_path / "c.safetensors", total) == (2, 0)
    world, dump = World(), tmp_path / "dump"
    world.download(dump, world.post("CODE"))
    assert read(suggester, dump, tmp_path / "b.safetensors") == (1, 0)


def test_posts_without_hashtags_or_picture_are_left_out_and_counted(suggester: Suggester, tmp_path: Path) -> None:
    image = (pictures(tmp_path / "one", 1)[0]).read_bytes()

    def posts() -> Iterator[Post]:
        yield Post(id="1", source="x", caption="no hashtags", image=image)
        yield Post(id="2", source="x", caption="#gone", image=None)
        yield Post(id="3", source="x", caption="#broken", image=b"<html>")
        yield Post(id="4", source="x", caption="morning run", hashtags=["#Kept"], image=image)
        yield Post(id="5", source="x", caption="morning run #kept", image=image)  # the same in another download

    file = tmp_path / "mine.safetensors"
    assert write_mine(posts(), suggester, file) == (1, 4)
    assert suggester.with_mine(file).mine is not None
    assert suggester.with_mine(file).suggest(caption="morning run", prefix="kept")[0].confidence == pytest.approx(
        1 / 6, abs=0.01
    )
    file.unlink()
    with pytest.raises(HashgenError, match=r"none of 1 posts has both hashtags and a readable picture"):
        write_mine(iter([Post(id="1", source="x", caption="nothing")]), suggester, file)
    assert not file.exists()


def test_another_file_or_model_is_refused(suggester: Suggester, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    with pytest.raises(HashgenError, match=r"mine\.safetensors: no such file; make it again: hashgen mine"):
        suggester.with_mine(file)
    for content in (b"", b"junk" * 50):
        file.write_bytes(content)
        with pytest.raises(HashgenError, match="cannot be read as own posts; make it again"):
            suggester.with_mine(file)
    save_file({"plain": np.zeros((1, 3), np.float16)}, file)
    with pytest.raises(HashgenError, match="cannot be read as own posts"):
        suggester.with_mine(file)
    other = Suggester.load(write_model_folder(tmp_path / "other"), device="cpu")
    read(other, write_folder(tmp_path / "posts", ["run #run"]), file)
    with pytest.raises(HashgenError, match="was made with another backbone or caption encoder than the model's"):
        suggester.with_mine(file)


def test_what_is_no_collection_of_posts_is_named(tmp_path: Path) -> None:
    with pytest.raises(HashgenError, match="no such file or folder; give a folder of pictures, a table"):
        open_posts(tmp_path / "none", ("caption", "image", None))
    pictures(tmp_path / "bare", 1)
    with pytest.raises(HashgenError, match=r"bare: no posts here; give a folder of pictures with metadata\.csv"):
        open_posts(tmp_path / "bare", ("caption", "image", None))
    # In words of the command, not of params.yaml.
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(HashgenError, match=r"no column caption, image; .* fix --caption-column, --image-column$"):
        list(open_posts(tmp_path / "t.csv", ("caption", "image", None))[0])
    (tmp_path / "t.txt").write_text("x")
    with pytest.raises(HashgenError, match=r"unknown kind of table; the path accepts \.csv"):
        list(open_posts(tmp_path / "t.txt", ("caption", "image", None))[0])
