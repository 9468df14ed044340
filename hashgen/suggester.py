"""From a model folder to hashtags for one picture and one caption."""

import dataclasses
from pathlib import Path

import numpy as np

from hashgen.base.devices import choose_device
from hashgen.base.errors import HashgenError
from hashgen.features.backbone import NAMED_WEIGHTS, Encoder, load_encoder
from hashgen.features.captions import CaptionEncoder, load_caption_encoder
from hashgen.features.posts import Blind, Features, Posts
from hashgen.models import Decoding
from hashgen.models.folder import Standing, Trained
from hashgen.pictures.crops import crops
from hashgen.pictures.decode import BadPicture
from hashgen.text.captions import clean_caption
from hashgen.text.sentiment import sentiments


@dataclasses.dataclass(frozen=True)
class Suggester:
    """A trained model beside the encoders of its pictures and captions; captions: None where there is none."""

    trained: Trained
    encoder: Encoder
    captions: CaptionEncoder | None = None
    standing: Standing | None = None

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        device: str = "auto",
        weights: str | Path | None = None,
        caption_weights: str | Path | None = None,
    ) -> "Suggester":
        """Load a model folder and its encoders.

        device: auto, cpu or cuda. weights: the file of the backbone's weights, where it no longer lies where it lay
        when the model was trained (a relative path starts at the current folder). caption_weights: the same for the
        folder of the caption encoder. Raises HashgenError when a file is missing, and when the weights are not those
        that the model learnt with.
        """
        folder, place = Path(folder), choose_device(device)
        trained = Trained.load(folder, place)
        recipe = trained.about.recipe
        named = weights if weights is not None else recipe.weights
        encoder = load_encoder(recipe, named if named in NAMED_WEIGHTS else Path(named).expanduser(), place)
        _check(folder, named, encoder.digest, recipe.weights_sha256)
        captions = None
        if recipe.caption_sha256 is not None:
            named = caption_weights if caption_weights is not None else recipe.caption_weights or ""
            there = Path(named).expanduser()
            captions = load_caption_encoder(recipe.captions, there if there.is_dir() else str(named), place)
            _check(folder, named, captions.digest, recipe.caption_sha256)
        return cls(trained, encoder, captions, Standing.read(folder))

    @property
    def warnings(self) -> list[str]:
        """What a user should know of the model: that a baseline is as good, for one."""
        warning = None if self.standing is None else self.standing.warning()
        return [] if warning is None else [warning]

    def suggest(self, picture: bytes | str | Path, caption: str = "", *, decoding: Decoding | None = None) -> list[str]:
        """Hashtags, without `#`, in the order that the model writes them.

        picture: the path of a file, or the bytes of one. caption: as a person types it; its hashtags, mentions and
        links are cut as the pipeline cuts them. Without a caption the mean of the training captions is used instead.
        decoding: another than the model's own. Raises HashgenError when the picture cannot be read.
        """
        recipe = self.trained.about.recipe
        name = "the picture" if isinstance(picture, bytes) else str(picture)
        data = picture if isinstance(picture, bytes) else _read(Path(picture))
        try:
            pixels = crops(data, recipe.image_size, [0], recipe.seed, self.encoder.preparation)
        except BadPicture as error:
            raise HashgenError(
                f"{name}: not a readable picture ({error}); use a JPEG, PNG, WebP, GIF or TIFF file"
            ) from error
        plain = self.encoder(pixels)  # (1, dim)
        cleaned = clean_caption(caption)
        grid = self.encoder.grid(pixels) if recipe.grid else None
        features = Features(plain, np.empty((1, 0, plain.shape[1]), np.float16), grid=grid)
        sentences = None if self.captions is None else self.captions([cleaned]).astype(np.float32)  # (1, dim)
        sentiment = sentiments([cleaned]) if self.trained.about.section.sentiment else None
        posts = Posts(features, np.array([0]), [cleaned], sentences, sentiment)
        blind: Blind | None = None if cleaned else "caption"
        model = self.trained.model if decoding is None else self.trained.model.with_decoding(decoding)
        return model.write(posts, blind)[0]


def _check(folder: Path, named: str | Path, digest: str, learnt: str) -> None:
    if digest != learnt:
        raise HashgenError(
            f"{folder}: the model was trained with other weights than {named} has now; restore them, "
            "or run the stages featurize and train again"
        )


def _read(picture: Path) -> bytes:
    try:
        return picture.read_bytes()
    except FileNotFoundError as error:
        raise HashgenError(f"{picture}: no such file; give the path of a picture") from error
    except OSError as error:
        raise HashgenError(f"{picture}: cannot be read ({error.strerror}); give the path of a picture") from error
