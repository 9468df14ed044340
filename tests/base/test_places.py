"""Places by URI, on the filesystem of this machine by its URI; tests/cluster/ has those of S3."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashgen.base.errors import HashgenError
from hashgen.base.files import is_uri, local_path, refuse_uri
from hashgen.base.places import Place, Remote, output_files, output_folder, place_of, present
from hashgen.corpus.posts import row_groups
from tests.properties import examples

NAMES = st.text(st.characters(exclude_characters="/?#%", categories=("L", "N", "P", "S")), min_size=1, max_size=12)


def remote(path: Path) -> Remote:
    return Remote(path.as_uri())


def test_a_file_is_put_read_listed_and_removed(tmp_path: Path) -> None:
    source, folder = tmp_path / "source", remote(tmp_path / "a folder" / "of mine")
    source.write_bytes(b"1")
    assert folder.names() == [] and not folder.exists()
    (folder / "b").put(source)
    (folder / "inside" / "c").put(source)
    assert folder.names() == ["b"] and folder.exists() and (folder / "b").open().read() == b"1"
    assert (tmp_path / "a folder/of mine/inside/c").read_bytes() == b"1"
    (folder / "b").remove()
    (folder / "b").remove()
    assert folder.names() == [] and not (folder / "b").exists()


@examples(100)
@given(NAMES, NAMES, st.sampled_from(["", "?endpoint_override=localhost:1&scheme=http"]))
def test_names_are_joined_before_the_options(one: str, other: str, query: str) -> None:
    place = Remote(f"s3://bucket/a{query}") / one
    assert place.name == one and str(place) == f"s3://bucket/a/{one}{query}"
    assert str(place.with_name(other)) == f"s3://bucket/a/{other}{query}"
    assert place.with_name(one) == place


@pytest.mark.parametrize(
    "text", ["s3://b/k", "gs://b", "hdfs://host:9000/a", "https://a.org/b.jpg", "S3://b", "file:///a"]
)
def test_a_uri_is_no_path_of_this_machine(text: str) -> None:
    assert is_uri(text) and is_uri(Path(text)) and place_of(text) == Remote(text)
    for value in (text, Path(text)):
        with pytest.raises(HashgenError, match=r"^--raw \w+://.*: must be a path on this machine; only the"):
            refuse_uri(value, "--raw")
        with pytest.raises(HashgenError, match=r"^\w+://"):
            local_path(value)


@pytest.mark.parametrize(
    "text", ["data/raw", "/data", "C:/data", "C:\\data", "a b", "..", "x:y", "s3", "2024-01-01: sea/"]
)
def test_a_path_is_no_uri(text: str) -> None:
    assert not is_uri(text) and place_of(text) == local_path(text) == Path(text)


@pytest.mark.parametrize("uri", ["s3://key:secret@bucket/raw", "s3://bucket/raw?access_key=key&secret_key=secret"])
def test_secrets_in_a_uri_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(HashgenError, match=r"^s3://bucket/raw: give no secrets in a path") as caught:
        Remote(uri)
    assert "secret_key" not in str(caught.value) and "key:" not in str(caught.value)


@pytest.mark.parametrize("uri", ["https://a.org/b", "nothing://a/b", "s3:///b"])
def test_a_filesystem_that_is_not_known_is_named(uri: str) -> None:
    with pytest.raises(HashgenError, match=rf"^{uri}: .*; check the path"):
        Remote(uri).exists()
    with pytest.raises(HashgenError, match=rf"^{uri}: .*; check the path"):
        row_groups(Remote(uri))


def test_what_is_not_there_names_its_stage(tmp_path: Path) -> None:
    for place in (tmp_path / "raw", remote(tmp_path / "raw")):
        with pytest.raises(HashgenError, match=rf"^{place}: no such file; the stage scrape creates it$") as caught:
            present(place, "scrape")
        assert caught.value.stage == "scrape"
    with pytest.raises(HashgenError, match="no shards of posts"):
        row_groups(remote(tmp_path / "raw"))


def test_files_are_written_with_the_last_one_last(tmp_path: Path) -> None:
    places: list[Place] = [tmp_path / "here", remote(tmp_path / "there" / "a"), remote(tmp_path / "there" / "b")]
    for text in ("old", "new"):
        with output_files(*places) as paths:
            for path in paths:
                path.write_text(text + path.name[-1:])
    assert (tmp_path / "here").read_text().startswith("new")
    assert {(tmp_path / "there" / name).read_text()[:3] for name in "ab"} == {"new"}
    with pytest.raises(ZeroDivisionError), output_files(*places) as paths:
        paths[0].write_text("broken")
        raise ZeroDivisionError
    assert (tmp_path / "here").read_text().startswith("new") and (tmp_path / "there/b").read_text().startswith("new")
    # What cannot be sent leaves no last file, so that no one takes the others for whole.
    with pytest.raises(HashgenError), output_files(*places) as paths:
        paths[0].write_text("newer")
        paths[2].write_text("newer")
    assert (tmp_path / "here").read_text().startswith("new") and not (tmp_path / "there/b").exists()


def test_a_folder_is_replaced_with_the_last_file_last(tmp_path: Path) -> None:
    place = remote(tmp_path / "out")
    for names in (["plain", "grid", "last"], ["plain", "last"]):
        with output_folder(place, "last", tmp_path / "scratch") as folder:
            for name in names:
                (folder / name).write_text(name)
    assert place.names() == ["last", "plain"]
    assert list((tmp_path / "scratch").iterdir()) == []
    with pytest.raises(ZeroDivisionError), output_folder(place, "last", tmp_path / "scratch") as folder:
        raise ZeroDivisionError
    assert place.names() == ["last", "plain"]
