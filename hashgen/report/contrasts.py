"""Two settings on the posts that both score: paired differences, and the hashtags that one gets right more often."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import pandas as pd

from hashgen.metrics.paired import Paired, paired
from hashgen.metrics.ranked import ranked_figures
from hashgen.metrics.written import written_figures
from hashgen.report.settings import Setting

FIGURES = {"f1_at_5": "F1@5", "p_at_1": "P@1", "p_at_5": "P@5", "f1": "F1"}
RESAMPLES = 2000
_SEED = 1
_FIRST = 5  # the hashtags that are counted as said: the first five of the ranking
_SHOWN = 6  # hashtags shown of each kind


@dataclasses.dataclass(frozen=True)
class Hashtag:
    """One hashtag on the posts that both settings score: how many have it, and for how many it is among the first five.

    right, wrong: (setting, reference), posts that have it and that do not; means over the runs of a setting.
    """

    name: str
    posts: int
    right: tuple[float, float]
    wrong: tuple[float, float]

    @property
    def gain(self) -> float:
        """Posts for which it is right in the setting, less those in the reference."""
        return round(self.right[0] - self.right[1], 6)  # means of thirds may differ in their last digits


@dataclasses.dataclass(frozen=True)
class Contrast:
    """A setting against the reference on the posts of one split that both score.

    means: by figure, (setting, reference). paired: by figure. gained, lost: the hashtags whose right posts changed
    most, the largest change first.
    """

    name: str
    posts: int
    groups: int
    means: Mapping[str, tuple[float, float]]
    paired: Mapping[str, Paired]
    gained: Sequence[Hashtag]
    lost: Sequence[Hashtag]

    @property
    def differs(self) -> bool:
        """Whether any score or hashtag is another."""
        return bool(self.gained or self.lost) or any(one.difference for one in self.paired.values())


def contrast(setting: Setting, reference: Setting, split: str) -> Contrast | None:
    """The setting against the reference; None where no post is scored by both.

    A post's figures are means over the runs of a setting that score it. It is the same post where id and true hashtags
    are the same.
    """
    rows = [_rows(one, split) for one in (setting, reference)]
    figures = [one.groupby("post", sort=False)[list(FIGURES)].mean() for one in rows]
    shared = figures[0].index.intersection(figures[1].index, sort=False)
    if shared.empty:
        return None
    ours, theirs = (one.loc[shared] for one in figures)
    groups = rows[1].drop_duplicates("post").set_index("post")["group"].loc[shared].tolist()
    hashtags = _hashtags(*(one[one["post"].isin(shared)] for one in rows))
    return Contrast(
        setting.name,
        len(shared),
        len(set(groups)),
        {name: (float(ours[name].mean()), float(theirs[name].mean())) for name in FIGURES},
        {name: paired(ours[name], theirs[name], groups, RESAMPLES, _SEED) for name in FIGURES},
        _most([one for one in hashtags if one.gain > 0]),
        _most([one for one in hashtags if one.gain < 0]),
    )


def _rows(setting: Setting, split: str) -> pd.DataFrame:
    """One row for each run and post: `post` (id and true hashtags), group, hashtags, ranked, and FIGURES."""
    columns = ["post", "group", "hashtags", "ranked", *FIGURES]
    found = [pd.DataFrame(columns=columns)]
    for run in setting.runs:
        if run.predictions is not None:
            part = run.predictions[run.predictions["split"] == split]
            true, ranked, written = (part[name].map(list).tolist() for name in ("hashtags", "ranked", "both"))
            values = ranked_figures(ranked, true) | written_figures(written, true)
            known = {
                "post": [" ".join([id_, *sorted(hashtags)]) for id_, hashtags in zip(part["id"], true, strict=True)],
                "group": part["group"].tolist(),
                "hashtags": true,
                "ranked": ranked,
            }
            found.append(pd.DataFrame(known | {name: values[name] for name in FIGURES}))
    return pd.concat(found[1:] or found, ignore_index=True)


def _hashtags(ours: pd.DataFrame, theirs: pd.DataFrame) -> list[Hashtag]:
    """Every hashtag of these posts that a setting says. ours, theirs: rows of the same posts."""
    posts = Counter(hashtag for hashtags in theirs.drop_duplicates("post")["hashtags"] for hashtag in hashtags)
    (our_right, our_wrong), (their_right, their_wrong) = _said(ours), _said(theirs)
    names = our_right.keys() | our_wrong.keys() | their_right.keys() | their_wrong.keys()
    return [
        Hashtag(name, posts[name], (our_right[name], their_right[name]), (our_wrong[name], their_wrong[name]))
        for name in sorted(names)
    ]


def _said(rows: pd.DataFrame) -> tuple[dict[str, float], dict[str, float]]:
    """By hashtag, the posts for which it is among the first five: those that have it, and those that do not."""
    right: dict[str, float] = defaultdict(float)
    wrong: dict[str, float] = defaultdict(float)
    runs = rows.groupby("post", sort=False)["post"].transform("size")  # that score a post
    for true, ranked, count in zip(rows["hashtags"], rows["ranked"], runs, strict=True):
        for hashtag in ranked[:_FIRST]:
            (right if hashtag in true else wrong)[hashtag] += 1 / count
    return right, wrong


def _most(hashtags: Sequence[Hashtag]) -> list[Hashtag]:
    return sorted(hashtags, key=lambda one: (-abs(one.gain), one.name))[:_SHOWN]
