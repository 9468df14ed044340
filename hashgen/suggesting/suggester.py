"""From a model folder to hashtags for a picture, a caption or both."""

import contextlib
import dataclasses
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hashgen.base.devices import choose_device
from hashgen.base.errors import HashgenError
from hashgen.base.files import refuse_uri
from hashgen.features.posts import GRID_SIDE, Blind, Features, Posts
from hashgen.features.recipe import Recipe
from hashgen.models.folder import Standing, Trained
from hashgen.pictures.crops import crops
from hashgen.pictures.decode import BadPicture
from hashgen.suggesting.answer import Answer, Suggestion
from hashgen.suggesting.explaining import explain as explain_hashtags
from hashgen.suggesting.index import Index, log_odds
from hashgen.suggesting.options import Mix, Options, hidden_hashtags
from hashgen.text.captions import clean_caption, hashtags_of
from hashgen.text.sentiment import sentiments

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from hashgen.features.backbone import Encoder
    from hashgen.features.captions import CaptionEncoder
    from hashgen.suggesting.mine import Mine

Floats = npt.NDArray[np.float32]

# How far broad and niche move log-odds by the logarithm of a hashtag's number of posts.
_MIX = {"balanced": 0.0, "broad": 0.5, "niche": -0.5}
_EDGE = 1e-6


@dataclasses.dataclass(frozen=True)
class EncodedPicture:
    """What a model sees of a picture. Made by `Suggester.encode`; knows nothing else of it.

    plain: (dim,). grid: features of its places (GRID_SIDE², dim), for a model that looks at them.
    """

    plain: npt.NDArray[np.float16]
    grid: npt.NDArray[np.float16] | None = None


@dataclasses.dataclass(frozen=True)
class Suggester:
    """A trained model beside the encoders of its pictures and captions, the index of its posts and its standing.

    captions, index and standing: None where there is none. hidden: hashtags that are not suggested unless allowed.
    mine: the user's own posts, which vote too. May be used from several threads at once.
    """

    trained: Trained
    encoder: "Encoder"
    captions: "CaptionEncoder | None" = None
    index: Index | None = None
    standing: Standing | None = None
    hidden: frozenset[str] = frozenset()
    mine: "Mine | None" = None

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        device: str = "auto",
        weights: str | Path | None = None,
        caption_weights: str | Path | None = None,
        hidden: str | Path | None = None,
        mine: str | Path | None = None,
    ) -> "Suggester":
        """Load a model folder and its encoders.

        device: auto, cpu or cuda. weights: the file of the backbone's weights, where it no longer lies where it lay
        when the model was trained (a relative path starts at the current folder). caption_weights: the same for the
        folder of the caption encoder. hidden: a file of hashtags to hide instead of the built-in one. mine: a file that
        `hashgen mine` wrote. Raises HashgenError when a file is missing, and when the weights are not those that the
        model learnt with.
        """
        from hashgen.features.backbone import NAMED_WEIGHTS, load_encoder

        for path in (folder, weights, caption_weights, hidden, mine):
            refuse_uri(path or "")
        folder, place = Path(folder), choose_device(device)
        trained = Trained.load(folder, place)
        recipe = trained.about.recipe
        named = weights if weights is not None else recipe.weights
        file = named if named in NAMED_WEIGHTS else Path(named).expanduser()
        with _named_by("weights"):
            encoder = load_encoder(_at_hand(recipe, place), file, place, recipe.dim)
        _check(folder, named, encoder.digest, recipe.weights_sha256)
        captions = None
        if recipe.caption_sha256 is not None:
            from hashgen.features.captions import load_caption_encoder

            named = caption_weights if caption_weights is not None else recipe.caption_weights or ""
            there = Path(named).expanduser()
            with _named_by("caption-weights"):
                captions = load_caption_encoder(recipe.captions, there if there.is_dir() else str(named), place)
            _check(folder, named, captions.digest, recipe.caption_sha256)
        suggester = cls(
            trained,
            encoder,
            captions,
            Index.load(folder, trained.model, recipe.dim),
            Standing.read(folder),
            hidden_hashtags(None if hidden is None else Path(hidden).expanduser()),
        )
        return suggester if mine is None else suggester.with_mine(mine)

    def with_mine(self, file: str | Path) -> "Suggester":
        """This suggester with the user's own posts, from a file that `hashgen mine` wrote.

        Raises HashgenError when it is missing, damaged, or was made with another model.
        """
        from hashgen.suggesting.mine import Mine

        return dataclasses.replace(self, mine=Mine.load(Path(file).expanduser(), self))

    @property
    def about(self) -> dict[str, Any]:
        """What the model is: `model`, `posts` and `hashtags` it learnt from, `source` of the posts, `warnings`."""
        index = self.index
        return {
            "model": self.trained.about.section.model,
            "posts": None if index is None else len(index.ids),
            "hashtags": None if index is None else len(index.hashtags),
            "source": None if index is None else index.source,
            "warnings": self.warnings,
        }

    @property
    def warnings(self) -> list[str]:
        """What a user should know of the model, whatever is asked."""
        found = []
        if self.trained.about.recipe.weights == "random":
            found.append(
                "this model knows only the drawn scenes of the built-in sample (its backbone has random weights): "
                "for photos its hashtags mean nothing"
            )
        if self.standing is not None and (standing := self.standing.warning()):
            found.append(standing)
        if self.index is None:
            found.append(
                "this folder comes straight from training: its scores are no probabilities, and typed hashtags steer "
                "nothing; use the folder that the stage evaluate writes (models/hashgen)"
            )
        return found

    def encode(self, picture: "Image | bytes | str | Path") -> EncodedPicture:
        """What the model sees of a picture: the path of a file, its bytes, or an image of Pillow.

        Raises HashgenError when it cannot be read.
        """
        (encoded,) = self.encode_all([picture])
        if isinstance(encoded, HashgenError):
            raise encoded
        return encoded

    def encode_all(self, pictures: "Sequence[Image | bytes | str | Path]") -> "list[EncodedPicture | HashgenError]":
        """`encode` of several pictures at once, which is faster; an error takes the place of one that fails."""
        found: list[HashgenError | None] = []
        pixels = []
        for picture in pictures:
            try:
                pixels.append(self._pixels(picture))
                found.append(None)
            except HashgenError as error:
                found.append(error)
        size = self.encoder.batch_size
        encoded = iter(
            [one for start in range(0, len(pixels), size) for one in self._encoded(pixels[start : start + size])]
        )
        return [next(encoded) if error is None else error for error in found]

    def _encoded(self, pixels: "list[npt.NDArray[np.uint8]]") -> "list[EncodedPicture]":
        batch = np.stack(pixels)
        plain = self.encoder(batch)
        if not self.trained.about.recipe.grid:
            return [EncodedPicture(row) for row in plain]
        return [EncodedPicture(row, places) for row, places in zip(plain, self.encoder.grid(batch), strict=True)]

    def _pixels(self, picture: "Image | bytes | str | Path") -> npt.NDArray[np.uint8]:
        recipe = self.trained.about.recipe
        data, name = _bytes(picture)
        try:
            pixels: npt.NDArray[np.uint8] = crops(data, recipe.image_size, [0], recipe.seed, self.encoder.preparation)[
                0
            ]
        except BadPicture as error:
            raise HashgenError(
                f"{name}: not a readable picture ({error}); use a JPEG, PNG, WebP, GIF or TIFF file"
            ) from error
        return pixels

    def posts(self, picture: EncodedPicture | None, captions: Sequence[str]) -> Posts:
        """Posts as the model sees them: one picture (zeros if there is none) with each of the captions, cleaned."""
        recipe = self.trained.about.recipe
        if picture is None:
            places = np.zeros((GRID_SIDE**2, recipe.dim), np.float16) if recipe.grid else None
            picture = EncodedPicture(np.zeros(recipe.dim, np.float16), places)
        grid = None if picture.grid is None else picture.grid[None]
        features = Features(picture.plain[None], np.empty((1, 0, recipe.dim), np.float16), grid=grid)
        texts = list(captions)
        sentences = None if self.captions is None else self.captions(texts).astype(np.float32)
        sentiment = sentiments(texts) if self.trained.about.section.sentiment else None
        return Posts(features, np.zeros(len(texts), np.int64), texts, sentences, sentiment)

    def suggest(
        self,
        picture: "EncodedPicture | Image | bytes | str | Path | None" = None,
        caption: str | None = "",
        *,
        k: int | None = None,
        tags: Sequence[str] = (),
        add: Sequence[str] = (),
        max: int | None = None,
        platform: str | None = None,
        min_confidence: float = 0.0,
        mix: Mix = "balanced",
        ban: Sequence[str] = (),
        allow: Sequence[str] = (),
        prefix: str = "",
        explain: bool = False,
    ) -> Answer:
        """Hashtags for a picture, a caption, or both, best first.

        picture: as `encode` takes or gives it. caption: as a person types it; its hashtags, mentions and links are cut
        as the pipeline cuts them, and its hashtags count as `tags`. k: another name for `max`. All others: see
        `Options`. Raises HashgenError for an option that is out of range, and when the picture cannot be read.
        """
        if k is not None and max is not None:
            raise HashgenError("k: is the same as max; give one of them")
        number = k if max is None else max
        options = Options(tags, add, number, platform, min_confidence, mix, ban, allow, prefix, explain)
        caption = "" if caption is None else caption
        if not isinstance(caption, str):
            raise HashgenError(f"caption: {caption!r:.60} is no text; give a text, or none")
        options = dataclasses.replace(options, tags=[*options.tags, *hashtags_of(caption)])
        cleaned = clean_caption(caption)
        if picture is None and not cleaned:
            raise HashgenError(
                "neither a picture nor a caption: give one of them, or both"
                if not caption.strip()
                else "neither a picture nor a caption of words: hashtags, mentions, links and signs are not enough; "
                "write some words, or give a picture"
            )
        encoded = picture if picture is None or isinstance(picture, EncodedPicture) else self.encode(picture)
        blind: Blind | None = "image" if encoded is None else None if cleaned else "caption"
        posts = self.posts(encoded, [cleaned])
        chances = self._chances(posts, blind, options)
        chosen = self._choose(chances, options)
        warnings = [*self.warnings, *_missing(encoded, cleaned)]
        if full := options.full():
            warnings.append(full)
        counts: Mapping[str, int] = {} if self.index is None else self.index.habits.counts
        why = explain_hashtags(self, encoded, cleaned, chosen, options) if options.explain and chosen else {}
        found = tuple(
            Suggestion(hashtag, chances.get(hashtag, 0.0), counts.get(hashtag, 0), why.get(hashtag))
            for hashtag in chosen
        )
        return Answer(found, tuple(warnings))

    def rank(self, posts: Posts, blind: Blind | None) -> list[dict[str, float]]:
        """What the model alone says: the probability of each hashtag by post; of an unindexed model its scores."""
        depth = 1000 if self.index is None else len(self.index.hashtags)
        rankings = self.trained.model.rank(posts, depth, blind)
        index = self.index
        if index is None:
            return [{hashtag: min(max(score, 0.0), 1.0) for hashtag, score in ranking} for ranking in rankings]
        return [dict(zip(index.hashtags, index.scores(one, blind).tolist(), strict=True)) for one in rankings]

    def beside(self, chances: dict[str, float], tags: Sequence[str], blind: Blind | None) -> dict[str, float]:
        """What `rank` says of a post, steered by typed hashtags; as it is by an unindexed model."""
        if self.index is None:
            return chances
        values = self.index.steer(np.array(list(chances.values()), np.float32), tags, blind)
        return dict(zip(chances, values.tolist(), strict=True))

    def _chances(self, posts: Posts, blind: Blind | None, options: Options) -> dict[str, float]:
        """The probability of each hashtag, steered by typed hashtags and by the user's own posts."""
        (alone,) = self.rank(posts, blind)
        chances = self.beside(alone, options.tags, blind)
        if self.mine is not None and self.index is not None:
            for hashtag, vote in self.mine.votes(posts, blind).items():
                chances[hashtag] = 1 - (1 - chances.get(hashtag, 0.0)) * (1 - vote)
        return chances

    def _choose(self, chances: dict[str, float], options: Options) -> list[str]:
        """The hashtags of the answer, best first: those to add, then the surest that nothing keeps off."""
        kept_off = {*options.tags, *options.add, *options.ban, *(self.hidden - set(options.allow))}
        # A beginning may ask for any hashtag, however unlikely.
        least = options.min_confidence or (0.0 if options.prefix else _EDGE)
        able = [
            hashtag
            for hashtag, chance in chances.items()
            if chance >= least and hashtag.startswith(options.prefix) and hashtag not in kept_off
        ]
        values = np.array([chances[hashtag] for hashtag in able], np.float64)
        if (weight := _MIX[options.mix]) and self.index is not None:
            counts = self.index.habits.counts
            frequent = np.log([max(1, counts[hashtag]) for hashtag in able])
            values = log_odds(values) + weight * frequent
        first = [hashtag for hashtag in options.add if hashtag not in options.tags]
        order = np.argsort(-values, kind="stable")[: options.number()]
        return [*first, *(able[place] for place in order)][: options.number()]


def _missing(picture: EncodedPicture | None, caption: str) -> list[str]:
    if picture is None:
        return ["without a picture: these hashtags rest on the caption alone"]
    return [] if caption else ["without a caption: these hashtags rest on the picture alone"]


def _at_hand(recipe: Recipe, place: "torch.device") -> Recipe:
    """The recipe at the nearest precision that suits one picture on this device; the features differ by rounding.

    8-bit integers need the pictures that their ranges were taken from, float16 a GPU.
    """
    if recipe.precision == "int8":
        return dataclasses.replace(recipe, precision="bfloat16")
    if recipe.precision == "float16" and place.type == "cpu":
        return dataclasses.replace(recipe, precision="float32")
    return recipe


def _check(folder: Path, named: str | Path, digest: str, learnt: str) -> None:
    if digest != learnt:
        raise HashgenError(
            f"{folder}: the model was trained with other weights than {named} has now; restore them, "
            f"or run the stages featurize and train again (SHA-256 needed: {learnt}; of what is there: {digest})"
        )


@contextlib.contextmanager
def _named_by(option: str) -> Iterator[None]:
    """Say how weights are named here: the encoders know the keys of params.yaml."""
    try:
        yield
    except HashgenError as error:
        message = f"{error} (for a trained model: name them with --{option})"
        raise HashgenError(message, error.exit_code, stage=error.stage) from error


def _bytes(picture: "Image | bytes | str | Path") -> tuple[bytes, str]:
    """The bytes of a picture, and what to call it in a message."""
    if isinstance(picture, bytes | bytearray | memoryview):
        return bytes(picture), "the picture"
    if isinstance(picture, str | os.PathLike):
        refuse_uri(str(picture))
        return _read(Path(picture)), str(picture)
    from PIL import Image, ImageOps

    if not isinstance(picture, Image.Image):
        raise HashgenError(
            f"picture: cannot be of the type {type(picture).__name__}; give a path, bytes, or an image of Pillow "
            "(Image.fromarray makes one of an array)"
        )
    buffer = io.BytesIO()
    try:
        upright = ImageOps.exif_transpose(picture)
        # Deeper than 8 bits, which decoding scales and Pillow cuts off.
        if not upright.mode.startswith("I"):
            upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
        upright.save(buffer, "PNG", compress_level=0)
    except Exception as error:  # Pillow raises nearly anything: of one that is closed, cut off, of no size
        reason = " ".join(str(error).split()) or type(error).__name__
        raise HashgenError(f"the picture: cannot be read ({reason}); give one that can be shown") from error
    return buffer.getvalue(), "the picture"


def _read(picture: Path) -> bytes:
    try:
        if not picture.is_file() and picture.exists():
            raise HashgenError(f"{picture}: not a file; give the path of a picture")
        return picture.read_bytes()
    except FileNotFoundError as error:
        raise HashgenError(f"{picture}: no such file; give the path of a picture") from error
    except ValueError as error:
        raise HashgenError(f"{picture}: no path; give the path of a picture") from error
    except OSError as error:
        raise HashgenError(f"{picture}: cannot be read ({error.strerror}); give the path of a picture") from error
