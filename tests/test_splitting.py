"""Groups against brute force, a split that adding posts moves nothing in, and the stage with its leak audit."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from hashgen.errors import HashgenError
from hashgen.filtering import POSTS_SCHEMA
from hashgen.manifest import SPLITS, read_manifest
from hashgen.params import Split
from hashgen.splitting import choose_posts, group_posts, shared, split_of_group, split_posts, summarise
from stages.split import main

SHARES = (90.0, 5.0, 5.0)


def section(**changes: Any) -> Split:
    return Split(**({"shares": (70.0, 15.0, 15.0), "limit": None, "seed": 1} | changes))  # type: ignore[arg-type]


def posts_table(rows: list[tuple[str, str, str | None]]) -> pa.Table:
    """Posts of which only id, picture and author matter."""
    full = [
        {"id": post, "image_sha256": sha, "author": author, "caption": f"{post} walks", "hashtags": [post, "walk"]}
        | {"seed_hashtags": [], "source": "s", "shard": "posts-00000.parquet", "row": row, "width": 40, "height": 40}
        for row, (post, sha, author) in enumerate(rows)
    ]
    return pa.Table.from_pylist(full, schema=POSTS_SCHEMA)


def lone_posts(count: int) -> pa.Table:
    return posts_table([(f"p{n}", f"sha{n}", None) for n in range(count)])


def brute_force_groups(rows: list[tuple[str, str, str | None]]) -> list[str]:
    """Merge groups that share anything until nothing changes."""
    labels = list(range(len(rows)))
    changed = True
    while changed:
        changed = False
        for i, one in enumerate(rows):
            for j, other in enumerate(rows):
                same = one[0] == other[0] or one[1] == other[1] or (one[2] is not None and one[2] == other[2])
                if same and labels[i] != labels[j]:
                    labels[max(i, j)] = labels[min(i, j)] = min(labels[i], labels[j])
                    changed = True
    return [rows[label][0] for label in labels]


small_rows = st.lists(
    st.tuples(
        st.integers(0, 30).map(lambda n: f"p{n}"),
        st.integers(0, 12).map(lambda n: f"sha{n}"),
        st.none() | st.integers(0, 8).map(lambda n: f"a{n}"),
    ),
    min_size=1,
    max_size=18,
)


@settings(deadline=None, max_examples=200)
@given(rows=small_rows)
def test_groups_are_those_of_brute_force(rows: list[tuple[str, str, str | None]]) -> None:
    assert group_posts(posts_table(rows)) == brute_force_groups(rows)


def test_a_chain_of_likes_is_one_group_under_its_first_post() -> None:
    rows = [
        ("a", "1", "ann"),
        ("b", "2", None),
        ("c", "2", "bob"),
        ("d", "3", "bob"),
        ("e", "3", "ann"),
        ("f", "4", None),
    ]
    assert group_posts(posts_table(rows)) == ["a"] * 5 + ["f"]


def test_no_author_is_no_common_author() -> None:
    assert group_posts(lone_posts(3)) == ["p0", "p1", "p2"]


@settings(deadline=None, max_examples=100)
@given(old=small_rows, new=small_rows, seed=st.integers(0, 5))
def test_adding_posts_moves_no_group_but_those_that_merge(
    old: list[tuple[str, str, str | None]], new: list[tuple[str, str, str | None]], seed: int
) -> None:
    before = group_posts(posts_table(old))
    after = group_posts(posts_table(old + new))
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


@settings(deadline=None)
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
        (lone_posts(2), {}, "bring more posts"),
        (lone_posts(40), {"shares": (1.0, 1e-9, 1.0)}, r"val 0.*split\.shares"),
        (lone_posts(40), {"limit": 3, "shares": (1.0, 0.001, 1.0)}, r"raise split\.limit"),
        (posts_table([(f"p{n}", f"s{n}", "one author") for n in range(50)]), {}, "50 posts in 1 groups"),
    ],
)
def test_an_empty_split_says_what_to_change(table: pa.Table, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(HashgenError, match=message):
        split_posts(table, section(**changes))


def frames(**splits: list[dict[str, Any]]) -> dict[Any, pd.DataFrame]:
    base = {"image_sha256": None, "author": None, "group": "g", "caption": "walk home", "hashtags": ["walk"]}
    return {name: pd.DataFrame([base | row for row in rows]) for name, rows in splits.items()}


def test_the_audit_sees_what_leaks() -> None:
    leaky = frames(
        train=[{"id": "1", "image_sha256": "x", "author": "ann"}, {"id": "2", "author": None}],
        val=[{"id": "1", "image_sha256": "y", "author": "ann"}],
        test=[{"id": "3", "image_sha256": "x", "author": "ann"}, {"id": "3", "image_sha256": "z"}],
    )
    assert [shared(leaky, column) for column in ("id", "image_sha256", "author")] == [1, 1, 1]
    assert summarise(leaky)["leaks"] == {"posts": 1, "images": 1, "authors": 1, "groups": 1}


def test_the_summary_by_hand() -> None:
    summary = summarise(
        frames(
            train=[{"id": "1", "group": "a", "hashtags": ["walk", "home"]}, {"id": "2", "group": "a"}],
            val=[{"id": "3", "group": "b", "caption": "Walking"}],
            test=[
                {"id": "4", "group": "c", "hashtags": ["walk", "new", "new2"]},
                {"id": "5", "group": "d", "hashtags": ["new"]},
            ],
        )
    )
    assert summary["sizes"] == {"train": 2, "val": 1, "test": 2}
    assert (summary["groups"], summary["largest_group"]) == (4, 2)
    assert summary["unseen_hashtags"] == {"distinct": 2 / 3, "occurrences": 3 / 4}
    assert summary["targets_in_caption"] == 4 / 8
    assert not any(summary["leaks"].values())


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    params = YAML().load((Path(__file__).parent.parent / "params.yaml").read_text())
    params["split"] = {"shares": [70, 15, 15], "limit": None, "seed": 1}
    YAML().dump(params, tmp_path / "params.yaml")
    names = {"posts": "posts.parquet", "out": "manifest", "metrics": "split.json", "params": "params.yaml"}
    return {option: tmp_path / name for option, name in names.items()}


def test_the_stage_writes_manifests_and_metrics(paths: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(lone_posts(60), paths["posts"])
    main(**paths)
    assert sorted(path.name for path in paths["out"].iterdir()) == ["test.parquet", "train.parquet", "val.parquet"]
    summary = json.loads(paths["metrics"].read_text())
    assert summary["sizes"] == {name: len(read_manifest(paths["out"], name)) for name in SPLITS}
    assert summary["leaks"] == {"posts": 0, "images": 0, "authors": 0, "groups": 0} and summary["limit"] is None
    captured = capsys.readouterr()
    assert captured.out.startswith("split: train ") and captured.err == ""
    first = {path.name: path.read_bytes() for path in paths["out"].iterdir()}
    main(**paths)
    assert {path.name: path.read_bytes() for path in paths["out"].iterdir()} == first


def test_a_group_that_rules_the_split_is_warned_of(paths: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(f"p{n}", f"s{n}", "ann" if n < 20 else None) for n in range(60)]
    pq.write_table(posts_table(rows), paths["posts"])
    main(**paths)
    assert "warning: one group holds 20 of 60 posts" in capsys.readouterr().err


def test_a_leak_writes_nothing(paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(posts_table([(f"p{n}", "same", None) for n in range(60)]), paths["posts"])
    monkeypatch.setattr("hashgen.splitting.GROUP_KEYS", ("id",))
    with pytest.raises(RuntimeError, match="leak"):
        main(**paths)
    assert not paths["out"].exists() and not paths["metrics"].exists()


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_at_any_write_leaves_the_old_manifests(
    paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    pq.write_table(lone_posts(60), paths["posts"])
    main(**paths)
    before = {path.name: path.read_bytes() for path in paths["out"].iterdir()}
    pq.write_table(lone_posts(90), paths["posts"])
    write, calls = pq.write_table, []

    def fail(*args: Any, **options: Any) -> None:
        calls.append(args)
        if len(calls) > failing:
            raise OSError("disk full")
        write(*args, **options)

    monkeypatch.setattr("stages.split.pq.write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        main(**paths)
    assert {path.name: path.read_bytes() for path in paths["out"].iterdir()} == before
    assert sorted(path.name for path in paths["out"].parent.iterdir()) == [
        "manifest",
        "params.yaml",
        "posts.parquet",
        "split.json",
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "dvc repro filter"),
        (lambda path: path.write_bytes(b"no parquet"), "run the stage filter again"),
        (lambda path: pq.write_table(pa.table({"id": ["1"]}), path), "no column image_sha256, author"),
    ],
)
def test_a_bad_input_names_itself(paths: dict[str, Path], make: Any, message: str) -> None:
    make(paths["posts"])
    with pytest.raises(HashgenError, match=message) as caught:
        main(**paths)
    assert str(paths["posts"]) in str(caught.value)
