"""What every postcard is drawn on: a canvas in unit coordinates, three lights, and the sky with what hangs in it."""

import dataclasses
import functools
import io
import math
from collections.abc import Sequence
from random import Random

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

_OVERSAMPLING = 2
_JPEG_QUALITY = 88


@dataclasses.dataclass(frozen=True)
class Light:
    """How a light colours a picture.

    skies: vertical gradients from top to horizon, one of which is drawn. tint: what every surface is multiplied by.
    haze: what far surfaces fade to. glow: colour of sun, moon and lit water. cloud: colour of clouds.
    """

    name: str
    skies: tuple[tuple[Colour, ...], ...]
    tint: Colour
    haze: Colour
    glow: Colour
    cloud: Colour


LIGHTS = {
    "golden": Light(
        "golden",
        (
            ((104, 78, 138), (226, 112, 112), (255, 168, 96), (255, 222, 150)),
            ((84, 96, 158), (214, 128, 142), (255, 180, 118), (255, 232, 176)),
            ((196, 84, 92), (244, 130, 84), (255, 190, 100), (255, 234, 168)),
        ),
        (255, 190, 148),
        (255, 196, 140),
        (255, 244, 200),
        (255, 206, 180),
    ),
    "noon": Light(
        "noon",
        (
            ((44, 134, 214), (104, 186, 238), (190, 230, 248)),
            ((30, 150, 210), (110, 204, 236), (214, 242, 246)),
            ((70, 140, 224), (140, 194, 246), (222, 238, 252)),
        ),
        (255, 255, 255),
        (206, 232, 246),
        (255, 250, 214),
        (255, 255, 255),
    ),
    "night": Light(
        "night",
        (
            ((8, 12, 40), (20, 32, 82), (52, 70, 132)),
            ((14, 10, 44), (40, 32, 92), (92, 76, 142)),
            ((4, 20, 44), (12, 48, 88), (40, 96, 134)),
        ),
        (92, 110, 172),
        (58, 78, 140),
        (252, 244, 214),
        (70, 84, 140),
    ),
}


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    """The colour that lies `share` (0..1) of the way from one to the other."""
    return (
        round(one[0] + (other[0] - one[0]) * share),
        round(one[1] + (other[1] - one[1]) * share),
        round(one[2] + (other[2] - one[2]) * share),
    )


class Canvas:
    """A square picture in the making: x and y run from 0 to 1, rightwards and downwards.

    `chance` decides everything that varies; `light` tones the colours given. Drawn at twice its size and scaled
    down when saved, which smooths the edges.
    """

    def __init__(self, light: Light, chance: Random, size: int) -> None:
        self.light = light
        self.chance = chance
        self.size = size
        self.side = size * _OVERSAMPLING
        self.image = Image.new("RGB", (self.side, self.side))
        self.draw = ImageDraw.Draw(self.image, "RGBA")
        self.sky = light.skies[chance.randrange(len(light.skies))]

    @property
    def is_night(self) -> bool:
        """Whether lamps are lit."""
        return self.light.name == "night"

    def toned(self, colour: Colour, haze: float = 0.0) -> Colour:
        """A surface's colour in this light; `haze` (0 near to 1 far) fades it into the distance."""
        tint = self.light.tint
        lit = (colour[0] * tint[0] // 255, colour[1] * tint[1] // 255, colour[2] * tint[2] // 255)
        return mixed(lit, self.light.haze, haze)

    def polygon(self, points: Sequence[Point], colour: Colour, alpha: int = 255) -> None:
        """Fill a polygon."""
        self.draw.polygon([(x * self.side, y * self.side) for x, y in points], fill=(*colour, alpha))

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, alpha: int = 255) -> None:
        """Fill an ellipse given by its centre and radii."""
        side = self.side
        box = ((x - rx) * side, (y - ry) * side, (x + rx) * side, (y + ry) * side)
        self.draw.ellipse(box, fill=(*colour, alpha))

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour, alpha: int = 255) -> None:
        """Fill an upright rectangle; nothing if it is thinner than a pixel."""
        corners = [round(value * self.side) for value in (left, top, right, bottom)]
        if corners[2] > corners[0] and corners[3] > corners[1]:
            self.draw.rectangle((corners[0], corners[1], corners[2] - 1, corners[3] - 1), fill=(*colour, alpha))

    def rounded(self, left: float, top: float, right: float, bottom: float, radius: float, colour: Colour) -> None:
        """Fill an upright rectangle with round corners."""
        side = self.side
        box = (left * side, top * side, right * side, bottom * side)
        self.draw.rounded_rectangle(box, radius=radius * side, fill=colour)

    def half(self, x: float, y: float, rx: float, ry: float, colour: Colour, lower: bool = False) -> None:
        """Fill the upper or the lower half of an ellipse."""
        side = self.side
        box = ((x - rx) * side, (y - ry) * side, (x + rx) * side, (y + ry) * side)
        self.draw.pieslice(box, *((0, 180) if lower else (180, 360)), fill=colour)

    def line(self, points: Sequence[Point], width: float, colour: Colour, alpha: int = 255) -> None:
        """Draw a line of a given width (unit: side of the picture) with soft joints."""
        scaled = [(x * self.side, y * self.side) for x, y in points]
        self.draw.line(scaled, fill=(*colour, alpha), width=max(1, round(width * self.side)), joint="curve")

    def gradient(self, box: tuple[float, float, float, float], colours: Sequence[Colour]) -> None:
        """Fill a box (left, top, right, bottom) with a vertical gradient through evenly spaced colours."""
        left, top, right, bottom = (round(value * self.side) for value in box)
        stops = np.linspace(0.0, 1.0, len(colours))
        rows = np.linspace(0.0, 1.0, max(1, bottom - top))
        column = np.stack([np.interp(rows, stops, channel) for channel in np.array(colours).T], axis=1)  # (height, 3)
        strip = Image.fromarray(column.astype(np.uint8)[:, None, :])
        self.image.paste(strip.resize((max(1, right - left), strip.height), Image.Resampling.NEAREST), (left, top))

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float = 1.0) -> None:
        """Brighten a disc that fades to its rim; strength 0..1."""
        width = max(1, round(2 * radius * self.side))
        mask = _halo(round(strength * 20)).resize((width, width))
        self.image.paste(colour, (round((x - radius) * self.side), round((y - radius) * self.side)), mask)

    def saved(self) -> bytes:
        """The picture as a JPEG of `size` × `size` pixels."""
        stream = io.BytesIO()
        self.image.reduce(_OVERSAMPLING).save(stream, "JPEG", quality=_JPEG_QUALITY)
        return stream.getvalue()


@functools.cache
def _halo(strength: int) -> Image.Image:
    axis = np.linspace(-1.0, 1.0, 64)
    distance = np.sqrt(axis[:, None] ** 2 + axis[None, :] ** 2)  # (64, 64)
    return Image.fromarray((np.clip(1 - distance, 0, 1) ** 2 * 255 * strength / 20).astype(np.uint8))


def draw_sky(canvas: Canvas, horizon: float, discs: bool = True) -> float:
    """Fill everything above `horizon` with sky, stars, sun or moon, clouds and birds. Returns the disc's x."""
    chance = canvas.chance
    canvas.gradient((0, 0, 1, horizon), canvas.sky)
    x = chance.uniform(0.15, 0.85)
    if canvas.is_night:
        draw_stars(canvas, horizon, chance.randint(40, 90))
    if discs:
        _disc(canvas, x, horizon)
    for _ in range(chance.randint(0, 2) if canvas.is_night else chance.randint(1, 4)):
        _cloud(canvas, chance.uniform(0, 1), horizon * chance.uniform(0.12, 0.7))
    if not canvas.is_night and chance.random() < 0.4:
        _birds(canvas, horizon)
    return x


def draw_stars(canvas: Canvas, horizon: float, count: int) -> None:
    """Sprinkle stars above `horizon`, a few of them bright."""
    chance = canvas.chance
    for _ in range(count):
        radius = 0.002 if chance.random() < 0.85 else 0.0045
        x, y = chance.random(), horizon * chance.random() ** 1.2
        canvas.ellipse(x, y, radius, radius, (255, 250, 230), chance.randint(120, 255))


def _disc(canvas: Canvas, x: float, horizon: float) -> None:
    chance, glow = canvas.chance, canvas.light.glow
    if canvas.light.name == "golden":
        y, radius = horizon * chance.uniform(0.68, 0.95), chance.uniform(0.06, 0.1)
        canvas.glow(x, y, 0.5, (255, 214, 140), 0.9)
        canvas.ellipse(x, y, radius, radius, glow)
    elif canvas.light.name == "noon":
        y, radius = horizon * chance.uniform(0.15, 0.35), chance.uniform(0.045, 0.065)
        canvas.glow(x, y, 0.28, (255, 255, 235), 0.9)
        canvas.ellipse(x, y, radius, radius, glow)
    else:
        y, radius = horizon * chance.uniform(0.15, 0.45), chance.uniform(0.045, 0.075)
        canvas.glow(x, y, 0.3, (150, 170, 230), 0.6)
        _moon(canvas, x, y, radius)


def _moon(canvas: Canvas, x: float, y: float, radius: float) -> None:
    chance, glow = canvas.chance, canvas.light.glow
    if chance.random() < 0.5:
        canvas.ellipse(x, y, radius, radius, glow)
        for dx, dy, share in ((-0.3, -0.2, 0.22), (0.25, 0.3, 0.28), (0.35, -0.35, 0.14), (-0.25, 0.42, 0.12)):
            canvas.ellipse(x + dx * radius, y + dy * radius, share * radius, share * radius, (228, 216, 186))
        return
    turn = chance.uniform(-0.9, 0.3)
    outer = [(math.cos(turn + a), math.sin(turn + a)) for a in np.linspace(-math.pi / 2, math.pi / 2, 16)]
    inner = [(0.42 * math.cos(a), math.sin(a)) for a in np.linspace(math.pi / 2, -math.pi / 2, 16)]
    turned = [
        (px * math.cos(turn) - py * math.sin(turn), px * math.sin(turn) + py * math.cos(turn)) for px, py in inner
    ]
    canvas.polygon([(x + radius * px, y + radius * py) for px, py in [*outer, *turned]], glow)


def _cloud(canvas: Canvas, x: float, y: float) -> None:
    chance = canvas.chance
    width, alpha = chance.uniform(0.09, 0.2), 120 if canvas.is_night else 215
    colour = canvas.light.cloud
    canvas.rounded(x - width, y - 0.016, x + width, y + 0.018, 0.017, mixed(colour, canvas.sky[1], 1 - alpha / 255))
    for share in (-0.5, 0.05, 0.55):
        radius = width * chance.uniform(0.26, 0.42)
        colour_here = mixed(colour, canvas.sky[1], 1 - alpha / 255)
        canvas.half(x + share * width, y + 0.014, radius, radius * 0.95, colour_here)


def _birds(canvas: Canvas, horizon: float) -> None:
    chance = canvas.chance
    x, y = chance.uniform(0.2, 0.8), horizon * chance.uniform(0.2, 0.6)
    for _ in range(chance.randint(2, 5)):
        bx, by, wing = x + chance.uniform(-0.1, 0.1), y + chance.uniform(-0.06, 0.06), chance.uniform(0.012, 0.02)
        canvas.line([(bx - wing, by - wing * 0.5), (bx, by), (bx + wing, by - wing * 0.5)], 0.005, (60, 60, 90))


def rolling(chance: Random, level: float, height: float, waves: float = 1.5) -> list[Point]:
    """The outline of rolling ground around `level`: 41 points from x = 0 to x = 1."""
    first, second = chance.uniform(0, 6.28), chance.uniform(0, 6.28)
    frequency = waves * chance.uniform(0.75, 1.25) * 2 * math.pi
    return [
        (
            x / 40,
            level + height * (0.7 * math.sin(frequency * x / 40 + first) + 0.3 * math.sin(0.11 * x * waves + second)),
        )
        for x in range(41)
    ]


def draw_ground(canvas: Canvas, outline: Sequence[Point], colour: Colour) -> None:
    """Fill everything below an outline."""
    canvas.polygon([*outline, (1, 1), (0, 1)], colour)


def draw_pine(canvas: Canvas, x: float, base: float, height: float, colour: Colour) -> None:
    """A pine of three tiers standing at (x, base)."""
    width = height * 0.2
    canvas.box(x - height * 0.025, base - height * 0.12, x + height * 0.025, base, mixed(colour, (70, 44, 30), 0.5))
    for tier, (top, bottom, share) in enumerate(((0.0, 0.42, 0.6), (0.24, 0.68, 0.82), (0.48, 0.92, 1.0))):
        left, right = x - width * share, x + width * share
        y = base - height
        shade = mixed(colour, (0, 0, 0), 0.06 * tier)
        canvas.polygon([(x, y + top * height), (right, y + bottom * height), (left, y + bottom * height)], shade)


def draw_glitter(canvas: Canvas, x: float, top: float, bottom: float, width: float) -> None:
    """The path of light that sun or moon throws on water between two heights."""
    chance = canvas.chance
    for step in range(14):
        y = top + (bottom - top) * (step + chance.random()) / 14
        reach = width * (0.4 + 0.8 * step / 14) * chance.uniform(0.4, 1)
        offset = chance.uniform(-0.4, 0.4) * reach
        canvas.box(x + offset - reach, y, x + offset + reach, y + 0.006, canvas.light.glow, 130)
