"""Groups against brute force, and a split that adding posts moves nothing in."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashgen.base.errors import HashgenError
from hashgen.corpus.manifest import SPLITS
from hashgen.corpus.tables import POSTS_SCHEMA
from hashgen.params.split import Split
from hashgen.splitting.groups import caption_key, choose_posts, group_posts, split_of_group, split_posts
from tests.properties import examples

SHARES = (90.0, 5.0, 5.0)
EPOCH = datetime(2020, 1, 1, tzinfo=UTC).toordinal()


def section(**changes: Any) -> Split:
    values = {"by": "group", "near_duplicate_bits": 4, "same_caption_words": 3, "limit": None, "seed": 1}
    return Split(**(values | {"shares": (70.0, 15.0, 15.0)} | changes))  # type: ignore[arg-type]


class Row(NamedTuple):
    """A post in what makes it belong to others; `look` is the number of its perceptual hash."""

    id: str
    sha: str
    author: str | None = None
    look: int | None = None
    caption: str | None = None
    day: int | None = None


def posts_table(rows: Sequence[Row]) -> pa.Table:
    full = [
        {
            "id": post.id,
            "post": post.id,
            "image_sha256": post.sha,
            "image_phash": None if post.look is None else f"{post.look:064x}" * 3,
            "author": post.author,
            "date": None if post.day is None else datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=post.day),
            "caption": f"{post.id} walks" if post.caption is None else post.caption,
            "hashtags": [post.id, "walk"],
            "seed_hashtags": [],
            "source": "s",
            "shard": "posts-00000.parquet",
            "row": row,
            "width": 40,
            "height": 40,
        }
        for row, post in enumerate(rows)
    ]
    return pa.Table.from_pylist(full, schema=POSTS_SCHEMA)


def groups_of(rows: Sequence[Row]) -> list[str]:
    return group_posts(posts_table(rows), 4, 3)


def lone_posts(count: int) -> pa.Table:
    return posts_table([Row(f"p{n}", f"sha{n}") for n in range(count)])


def belong_together(one: Row, other: Row) -> bool:
    return (
        one.id == other.id
        or one.sha == other.sha
        or (one.author is not None and one.author == other.author)
        or (one.look is not None and other.look is not None and (one.look ^ other.look).bit_count() <= 4)
        or (one.caption is not None and one.caption == other.caption and one.caption.count(" ") >= 2)
    )


def brute_force_groups(rows: list[Row]) -> list[str]:
    """Merge groups that share anything until nothing changes."""
    labels = list(range(len(rows)))
    changed = True
    while changed:
        changed = False
        for i, one in enumerate(rows):
            for j, other in enumerate(rows):
                if belong_together(one, other) and labels[i] != labels[j]:
                    labels[max(i, j)] = labels[min(i, j)] = min(labels[i], labels[j])
                    changed = True
    return [rows[label].id for label in labels]


small_rows = st.lists(
    st.builds(
        Row,
        id=st.integers(0, 40).map(lambda n: f"p{n}"),
        sha=st.integers(0, 25).map(lambda n: f"sha{n}"),
        author=st.none() | st.integers(0, 12).map(lambda n: f"a{n}"),
        look=st.none() | st.integers(0, 2**256 - 1) | st.integers(0, 60).map(lambda n: (1 << n) - 1),
        caption=st.none() | st.sampled_from(["", "two words", "Two, words", "three words here", "three words there"]),
        day=st.none(),
    ),
    min_size=1,
    max_size=18,
)


@examples(200)
@given(rows=small_rows)
def test_groups_are_those_of_brute_force(rows: list[Row]) -> None:
    assert groups_of(rows) == brute_force_groups(rows)


def test_a_chain_of_likes_is_one_group_under_its_first_post() -> None:
    rows = [
        Row("a", "1", "ann"),
        Row("b", "2"),
        Row("c", "2", "bob", look=0b1111),
        Row("d", "3", "bob"),
        Row("e", "3", "ann"),
        Row("f", "4"),
        Row("g", "5", look=0, caption="One, two; THREE!"),
        Row("h", "6", caption="one two three"),
    ]
    assert groups_of(rows) == ["a"] * 5 + ["f"] + ["a"] * 2


def test_pictures_and_captions_part_where_they_are_turned_off() -> None:
    rows = [Row("a", "1", look=7, caption="one two three"), Row("b", "2", look=7, caption="one two three")]
    table = posts_table(rows)
    assert group_posts(table, None, None) == ["a", "b"]
    assert group_posts(table, 0, None) == group_posts(table, None, 3) == ["a", "a"]
    assert group_posts(table, None, 4) == ["a", "b"]


@pytest.mark.parametrize(
    ("caption", "key"),
    [
        ("Don't you -- dare, _ever_!", "dont you dare ever"),
        ("a b c", None),
        ("a . b ! c ? d", "a b c d"),
        ("", None),
        ("ONE two\nthree\tfour", "one two three four"),
    ],
)
def test_the_key_of_a_caption_has_its_words_alone(caption: str, key: str | None) -> None:
    assert caption_key(caption, 4) == key


def test_no_author_is_no_common_author() -> None:
    assert group_posts(lone_posts(3), 4, 3) == ["p0", "p1", "p2"]


@examples(100)
@given(old=small_rows, new=small_rows, seed=st.integers(0, 5))
def test_adding_posts_moves_no_group_but_those_that_merge(old: list[Row], new: list[Row], seed: int) -> None:
    before = groups_of(old)
    after = groups_of(old + new)
    named: dict[str, str] = {}
    for was, now in zip(before, after, strict=False):
        assert named.setdefault(was, now) == now  # a group moves as a whole
        if was != now:
            assert before.index(now) < before.index(was)  # into the one that was there first
    assert split_of_group(before[0], SHARES, seed) == split_of_group(after[0], SHARES, seed)


def test_shares_hold_and_their_unit_does_not_matter() -> None:
    groups = [f"g{n}" for n in range(20_000)]
    counts = Counter(split_of_group(group, SHARES, 1) for group in groups)
    for name, share in zip(SPLITS, (0.9, 0.05, 0.05), strict=True):
        # Five standard errors of a binomial share.
        assert abs(counts[name] / 20_000 - share) < 5 * (share * (1 - share) / 20_000) ** 0.5
    for shares in ((0.9, 0.05, 0.05), (18.0, 1.0, 1.0)):
        same = sum(split_of_group(group, shares, 1) == split_of_group(group, SHARES, 1) for group in groups)
        assert same >= 19_999


def test_the_seed_makes_another_split() -> None:
    groups = [f"g{n}" for n in range(1000)]
    splits = [[split_of_group(group, (1, 1, 1), seed) for group in groups] for seed in (1, 2)]
    assert 200 < sum(one == two for one, two in zip(*splits, strict=True)) < 470


def test_the_hash_is_fixed_for_good() -> None:
    """Another hash would move every post of every user to another split."""
    found = [split_of_group(group, (1, 1, 1), 1) for group in ("p0", "p1", "p2", "ä", "images/1.jpg")]
    assert found == ["val", "train", "val", "val", "val"]
    assert choose_posts([f"p{n}" for n in range(20)], 5, 1) == [3, 6, 13, 17, 19]


groupings = st.lists(st.integers(0, 9).map(str), min_size=1, max_size=40)


@given(groups=groupings, low=st.integers(1, 50), high=st.integers(1, 50))
def test_a_limit_is_exact_nested_and_of_whole_groups(groups: list[str], low: int, high: int) -> None:
    low, high = min(low, high), max(low, high)
    few, more = choose_posts(groups, low, 1), choose_posts(groups, high, 1)
    assert len(few) == min(low, len(groups)) and len(more) == min(high, len(groups))
    assert set(few) <= set(more) and few == sorted(few)
    cut = [group for group in set(groups) if 0 < sum(groups[row] == group for row in few) < groups.count(group)]
    assert len(cut) <= 1
    assert choose_posts(groups, None, 1) == list(range(len(groups)))


def test_a_limit_moves_no_post_and_chooses_from_all_splits() -> None:
    table = lone_posts(600)
    whole, limited = split_posts(table, section()), split_posts(table, section(limit=200))
    for name in SPLITS:
        assert set(limited[name].column("id").to_pylist()) < set(whole[name].column("id").to_pylist())
    sizes = [limited[name].num_rows for name in SPLITS]
    assert sum(sizes) == 200 and abs(sizes[0] - 140) < 5 * (200 * 0.7 * 0.3) ** 0.5


def test_manifests_keep_columns_and_order() -> None:
    table = lone_posts(100)
    manifests = split_posts(table, section())
    assert sum(manifest.num_rows for manifest in manifests.values()) == 100
    for manifest in manifests.values():
        assert manifest.schema.names == [*POSTS_SCHEMA.names, "group"]
        rows = manifest.column("row").to_pylist()
        assert rows == sorted(rows) and manifest.column("group").to_pylist() == [f"p{row}" for row in rows]


@pytest.mark.parametrize(
    ("table", "changes", "message"),
    [
        (lone_posts(2), {}, "add more posts"),
        (lone_posts(40), {"shares": (1.0, 1e-9, 1.0)}, r"val 0.*split\.shares"),
        (lone_posts(40), {"limit": 3, "shares": (1.0, 0.001, 1.0)}, r"raise split\.limit"),
        (posts_table([Row(f"p{n}", f"s{n}", "one author") for n in range(50)]), {}, "50 posts in 1 groups"),
        (lone_posts(40), {"by": "author"}, "no post has a known author"),
        (lone_posts(40), {"by": "time"}, r"no post has a known date.*split\.by: group"),
    ],
)
def test_an_empty_split_says_what_to_change(table: pa.Table, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(HashgenError, match=message):
        split_posts(table, section(**changes))


def test_by_author_leaves_out_posts_that_may_be_anybodys() -> None:
    rows = [Row(f"p{n}", f"s{n}", None if n % 4 == 0 else f"a{n % 30}", look=None) for n in range(120)]
    manifests = split_posts(posts_table(rows), section(by="author"))
    authors = {name: set(manifests[name].column("author").to_pylist()) for name in SPLITS}
    assert sum(manifest.num_rows for manifest in manifests.values()) == 90
    assert None not in authors["train"] | authors["val"] | authors["test"]
    assert not authors["train"] & authors["test"] and not authors["val"] & (authors["train"] | authors["test"])
    whole = split_posts(posts_table(rows), section())
    assert all(set(manifests[name]["id"].to_pylist()) <= set(whole[name]["id"].to_pylist()) for name in SPLITS)


def test_by_time_tests_on_the_newest_posts() -> None:
    days = [n * 37 % 100 for n in range(100)]
    table = posts_table([Row(f"p{n}", f"s{n}", day=day) for n, day in enumerate(days)] + [Row("undated", "s")])
    manifests = split_posts(table, section(by="time", shares=(7, 1, 2)))
    for name, (lowest, highest) in zip(SPLITS, ((0, 69), (70, 79), (80, 99)), strict=True):
        assert sorted(days[row] for row in manifests[name]["row"].to_pylist()) == list(range(lowest, highest + 1))
    limited = split_posts(table, section(by="time", shares=(7, 1, 2), limit=50))
    assert sum(manifest.num_rows for manifest in limited.values()) == 50
    assert all(set(limited[name]["id"].to_pylist()) < set(manifests[name]["id"].to_pylist()) for name in SPLITS)


@examples(100)
@given(dates=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 25)), min_size=12, max_size=40))
def test_by_time_no_group_is_parted_and_the_newest_are_in_test(dates: list[tuple[int, int]]) -> None:
    rows = [Row(f"p{n}", f"s{n}", f"a{author}", day=day) for n, (day, author) in enumerate(dates)]
    try:
        manifests = split_posts(posts_table(rows), section(by="time", shares=(1, 1, 1)))
    except HashgenError:
        return  # a group fills more than a split
    newest: dict[str, int] = {}
    for day, author in dates:
        newest[f"a{author}"] = max(day, newest.get(f"a{author}", day))
    lasts = [[newest[author] for author in manifests[name]["author"].to_pylist()] for name in SPLITS]
    assert max(lasts[0]) <= min(lasts[1]) and max(lasts[1]) <= min(lasts[2])
    authors = [set(manifests[name]["author"].to_pylist()) for name in SPLITS]
    assert not authors[0] & authors[1] and not authors[1] & authors[2] and not authors[0] & authors[2]


def test_by_time_the_shares_hold_where_authors_post_for_long() -> None:
    chance = random.Random(1)
    rows = [Row(f"p{n}", f"s{n}", f"a{chance.randrange(300)}", day=chance.randrange(1000)) for n in range(2000)]
    manifests = split_posts(posts_table(rows), section(by="time", shares=(70, 10, 20)))
    assert [round(manifests[name].num_rows / 2000, 1) for name in SPLITS] == [0.7, 0.1, 0.2]
    assert max(row.day or 0 for row in rows) == max(manifests["test"]["date"].to_pylist()).toordinal() - EPOCH


def test_the_order_of_rows_is_no_matter() -> None:
    rows = [Row(f"p{n}", f"s{n % 150}", f"a{n % 77}" if n % 3 else None) for n in range(200)]
    table = posts_table(rows)
    shuffled = table.take(random.Random(1).sample(range(200), 200))
    for by in ("group", "author"):
        one, other = (split_posts(each, section(by=by)) for each in (table, shuffled))
        assert all(one[name].equals(other[name]) for name in SPLITS)


def test_any_inset_makes_pictures_alike() -> None:
    rows = [Row("a", "1"), Row("b", "2"), Row("c", "3")]
    hashes = ["0" * 64 + "f" * 64 + "5" * 64, "c" * 64 + "3" * 64 + "f" * 64, "a" * 192]
    table = posts_table(rows)
    place = table.schema.get_field_index("image_phash")
    table = table.set_column(place, "image_phash", pa.array(hashes))
    assert group_posts(table, 24, None) == ["a", "a", "c"]
