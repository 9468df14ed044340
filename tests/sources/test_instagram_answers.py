"""Instagram's answers read without a network: posts of nodes, and refusals in their many forms."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashgen.sources.instagram.answers import is_login_page, read_page, read_post, read_redirect, read_refusal, says_no
from tests.doubles.instagram_double import Instagram

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("shortcode", "code", "__typename", "is_video", "display_url", "taken_at_timestamp", "owner", "caption")
MORE = ("edge_media_to_caption", "edge_sidecar_to_children", "date", "display_src")
NODES = st.dictionaries(st.sampled_from([*FIELDS, *MORE]), VALUES) | VALUES
PAGES = st.fixed_dictionaries({"edges": st.lists(NODES.map(lambda node: {"node": node})) | VALUES, "page_info": VALUES})


@given(PAGES)
def test_pages_of_any_shape_are_read_or_not_understood(page: dict[str, Any]) -> None:
    try:
        found = read_page(page)
    except (LookupError, TypeError, ValueError, AttributeError):
        return
    assert all(isinstance(post.id, str) and isinstance(post.caption, str | None) for post in found.posts)
    assert len(found.posts) + found.broken == len(page["edges"]) and found.cursor != ""


@given(st.integers(200, 599), st.text() | VALUES.map(json.dumps), st.booleans())
def test_any_body_is_a_refusal_or_not(status: int, body: str, logged_in: bool) -> None:
    refusal = read_refusal(status, {}, body, logged_in=logged_in)
    assert (refusal is not None) or status not in (401, 403, 429)


@given(st.integers(200, 599), st.text() | VALUES.map(json.dumps))
def test_any_body_says_no_or_not(status: int, body: str) -> None:
    assert not (says_no(status, body) and is_login_page(status, body))
    assert says_no(status, body) or status in (200, 404, 408) or not 400 <= status < 500


def test_login_pages_are_known() -> None:
    page = '<!DOCTYPE html><form id="loginForm">'
    assert is_login_page(200, page) and is_login_page(200, "\n<html>Log in</html>")
    assert not is_login_page(404, page) and not is_login_page(200, "<p>blog inside</p>")
    assert not is_login_page(200, '{"a": "<log in>"}')


def test_a_caption_that_speaks_of_refusals_is_none() -> None:
    instagram = Instagram({"food": [1]})
    page = instagram.page("food", None)
    node = page["data"]["hashtag"]["edge_hashtag_to_media"]["edges"][0]["node"]
    node["edge_media_to_caption"]["edges"][0]["node"]["text"] = "checkpoint_required, please wait a few minutes"
    assert read_refusal(200, {}, json.dumps(page), logged_in=True) is None


def test_halves_of_surrogate_pairs_are_replaced() -> None:
    post = read_post({"shortcode": "a", "caption": "x \ud83d y", "display_url": "u"})
    assert post.caption == "x � y" and post.date is None and post.owner is None


def test_videos_are_known_by_either_sign() -> None:
    for sign in ({"__typename": "GraphVideo"}, {"is_video": True}, {"__typename": "XDTGraphVideo", "is_video": False}):
        post = read_post({"shortcode": "a", "display_url": "u", **sign})
        assert post.kind == "video" and post.media[0].is_video and post.knows_children
    carousel = read_post({"shortcode": "a", "display_url": "u", "__typename": "GraphSidecar", "is_video": True})
    assert carousel.kind == "carousel" and carousel.media[0].is_video and not carousel.knows_children


@pytest.mark.parametrize("value", ["120", "date"])
def test_retry_after(value: str) -> None:
    if value == "date":
        value = format_datetime(datetime.now(tz=UTC) + timedelta(seconds=120), usegmt=True)
    refusal = read_refusal(429, {"Retry-After": value}, "", logged_in=False)
    assert refusal is not None and refusal.retry_after is not None and 110 < refusal.retry_after <= 120
    other = read_refusal(429, {"Retry-After": "soon"}, "", logged_in=False)
    assert other is not None and other.retry_after is None


def test_what_a_login_changes() -> None:
    body = json.dumps({"message": "Please wait a few minutes", "require_login": True, "status": "fail"})
    codes = [read_refusal(401, {}, body, logged_in=logged_in) for logged_in in (False, True)]
    assert [refusal.exit_code for refusal in codes if refusal] == [4, 3]
    ended = read_redirect("https://www.instagram.com/graphql/query", "/accounts/login/?x", logged_in=True)
    assert ended is not None and ended.what == "the login has expired (redirected to the login page)"
    assert read_redirect("https://www.instagram.com/graphql/query", "/graphql/query/", logged_in=True) is None
