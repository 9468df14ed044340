"""From a model folder to hashtags for one picture and one caption."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch

from hashgen.base.errors import HashgenError
from hashgen.features.backbone import NAMED_WEIGHTS, Encoder, load_encoder
from hashgen.models import Blind, encode
from hashgen.params.featurize import Featurize
from hashgen.pictures.crops import crops
from hashgen.pictures.decode import BadImage
from hashgen.text.captions import clean_caption
from hashgen.training.dataset import encode_caption
from hashgen.training.decoding import beam_search
from hashgen.training.trained import Trained


@dataclasses.dataclass(frozen=True)
class Suggester:
    """A trained model beside the backbone that its pictures were encoded with."""

    trained: Trained
    encoder: Encoder
    device: torch.device

    @classmethod
    def load(cls, folder: Path, device: torch.device, resolve: Callable[[str], Path] = Path) -> "Suggester":
        """Load a model folder and its backbone.

        resolve: turns the name of a file of weights, as params gave it, into its path. Raises HashgenError when the
        backbone's weights are no longer those that the model learnt with.
        """
        trained = Trained.load(folder, device)
        recipe = trained.features
        section = Featurize(**{key: recipe[key] for key in Featurize.model_fields if key in recipe}, allow_random=True)
        weights = section.weights if section.weights in NAMED_WEIGHTS else resolve(section.weights)
        encoder = load_encoder(section, weights, device)
        if encoder.digest != recipe["weights_sha256"]:
            raise HashgenError(
                f"{folder}: learnt with other weights than {section.weights} now holds; bring those back, "
                "or run the stages featurize and train again"
            )
        return cls(trained, encoder, device)

    @torch.inference_mode()
    def suggest(self, image: bytes, caption: str, beam: int, penalty: float = 0.0) -> list[str]:
        """Hashtags, likeliest sequence first to last, for a picture file's bytes and a caption as a person types it.

        Hashtags, mentions and links in the caption are cut as the pipeline cuts them; without a caption the mean of
        the training captions stands in. Raises HashgenError when the picture cannot be read.
        """
        section = self.trained.section
        try:
            pixels = crops(image, self.trained.features["image_size"], [0], self.trained.features["seed"])
        except BadImage as error:
            raise HashgenError(f"not a readable picture ({error}); name a JPEG, PNG, WebP, GIF or TIFF file") from error
        features = torch.from_numpy(self.encoder(pixels)).float().to(self.device)  # (1, dim)
        cleaned = clean_caption(caption)
        words = torch.tensor([encode_caption(cleaned, self.trained.vocabularies, section.caption_length)])
        blind: Blind | None = None if cleaned else "caption"
        state = encode(self.trained.model, features, words.to(self.device), torch.tensor([words.shape[1]]), blind)
        numbers = beam_search(self.trained.model, state, section.hashtag_length, beam, penalty)[0]
        return self.trained.vocabularies.hashtags.decode(numbers)
