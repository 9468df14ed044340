"""Postcards: a scene in a light, drawn by chance, as a JPEG."""

from random import Random

from hashgen.sources.sample.drawing.canvas import LIGHTS, Canvas
from hashgen.sources.sample.drawing.interiors import draw_cat, draw_food
from hashgen.sources.sample.drawing.landscapes import draw_beach, draw_city, draw_forest, draw_mountains
from hashgen.sources.sample.drawing.plains import draw_desert, draw_flowers

_SCENES = {
    "beach": draw_beach,
    "mountains": draw_mountains,
    "city": draw_city,
    "food": draw_food,
    "forest": draw_forest,
    "desert": draw_desert,
    "flowers": draw_flowers,
    "cat": draw_cat,
}


def draw_postcard(scene: str, light: str, chance: Random, size: int) -> bytes:
    """A JPEG of size × size pixels; the same scene, light and state of `chance` give the same bytes.

    scene: beach, mountains, city, food, forest, desert, flowers or cat. light: golden, noon or night. Raises KeyError
    for others.
    """
    canvas = Canvas(LIGHTS[light], chance, size)
    _SCENES[scene](canvas)
    return canvas.saved()
