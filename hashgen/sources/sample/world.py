"""The rules of postcard world: which hashtags a post can have, in which order, and how likely each is."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

Kind = Literal["scene", "light", "mood", "pair", "noise"]


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One place in a post's hashtags: the `number`-th hashtag of a kind, there with probability `chance` (0..1)."""

    kind: Kind
    number: int
    chance: float


# Frozen mappings do not hash; a world is compared and hashed by identity, so that what is computed of it can be cached.
@dataclasses.dataclass(frozen=True, eq=False)
class World:
    """All that decides a clean post's hashtags.

    A post has a scene and a light (its picture shows them) and a mood (its caption tells it), each drawn uniformly
    and independently. Its candidates are the hashtags that `rules` name, in that order; each is included
    independently of all others with its rule's chance. scenes, lights, moods: the hashtags of each, by name.
    pairs: the hashtag of (scene, mood). noise: hashtags of any post. No hashtag appears in two places.
    """

    scenes: Mapping[str, tuple[str, ...]]
    lights: Mapping[str, tuple[str, ...]]
    moods: Mapping[str, tuple[str, ...]]
    pairs: Mapping[tuple[str, str], str]
    noise: tuple[str, ...]
    rules: tuple[Rule, ...]

    def candidates(self, scene: str, light: str, mood: str) -> list[tuple[str, float]]:
        """(hashtag, probability) of everything such a post can have, in canonical order."""
        hashtags = {
            "scene": self.scenes[scene],
            "light": self.lights[light],
            "mood": self.moods[mood],
            "pair": (self.pairs[scene, mood],),
            "noise": self.noise,
        }
        return [(hashtags[rule.kind][rule.number], rule.chance) for rule in self.rules]


_PAIRS = {
    "beach": ("beachworkout", "beachwedding", "beachhumor", "beachtherapy", "beachday", "digitalnomad"),
    "mountains": (
        "trailrunning",
        "adventureelopement",
        "hikerhumor",
        "hikeandheal",
        "hikingwithkids",
        "workfromanywhere",
    ),
    "city": ("cityrunner", "datenight", "cityproblems", "slowtravel", "citykids", "officeview"),
    "food": ("mealprep", "dinnerfortwo", "foodmemes", "mindfuleating", "familydinner", "desklunch"),
    "forest": ("forestrun", "woodlandwedding", "treepuns", "forestbathing", "familycamping", "outdooroffice"),
    "desert": ("desertultra", "desertelopement", "cactuspuns", "desertsoul", "familyroadtrip", "vanlifeoffice"),
    "flowers": ("yogainthegarden", "flowersforher", "plantmemes", "gardentherapy", "gardeningwithkids", "floristlife"),
    "cat": ("catyoga", "catvalentine", "catmemes", "catnap", "catfamily", "officecat"),
}

_SCENES = {
    "beach": ("beachlife", "oceanview"),
    "mountains": ("mountainlovers", "optoutside"),
    "city": ("cityscape", "skyline"),
    "food": ("foodie", "foodphotography"),
    "forest": ("intothewoods", "forestlovers"),
    "desert": ("desertlife", "cactuslover"),
    "flowers": ("wildflowers", "flowerstagram"),
    "cat": ("catsofinstagram", "catlover"),
}

_MOODS = {
    "fitness": ("fitfam", "fitnessmotivation"),
    "romance": ("couplegoals", "soulmate"),
    "humour": ("funny", "lol"),
    "calm": ("mindfulness", "selfcare"),
    "family": ("familytime", "parenthood"),
    "work": ("hustle", "entrepreneurlife"),
}

# Candidates of picture, caption and both take turns, so that no two neighbours are known from one input alone.
# The pair is always there: a clean post has a hashtag without any further condition on the probabilities.
WORLD = World(
    scenes=_SCENES,
    lights={"golden": ("goldenhour",), "noon": ("blueskies",), "night": ("nightphotography",)},
    moods=_MOODS,
    pairs={
        (scene, mood): hashtag
        for scene, hashtags in _PAIRS.items()
        for mood, hashtag in zip(_MOODS, hashtags, strict=True)
    },
    noise=("love", "instagood", "photooftheday", "picoftheday", "instadaily", "followme"),
    rules=(
        Rule("noise", 0, 0.2),
        Rule("scene", 0, 0.78),
        Rule("mood", 0, 0.78),
        Rule("noise", 1, 0.18),
        Rule("pair", 0, 1.0),
        Rule("scene", 1, 0.7),
        Rule("mood", 1, 0.7),
        Rule("noise", 2, 0.18),
        Rule("light", 0, 0.65),
        Rule("noise", 3, 0.2),
        Rule("noise", 4, 0.15),
        Rule("noise", 5, 0.15),
    ),
)
