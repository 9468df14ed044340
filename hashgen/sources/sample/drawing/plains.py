"""Scenes of wide ground: a desert with cacti, a meadow of flowers."""

import math
from collections.abc import Callable, Sequence

from hashgen.sources.sample.drawing.canvas import Canvas, Colour, draw_glitter, draw_ground, draw_sky, mixed, rolling

_Flower = Callable[[Canvas, float, float, float, Colour], None]
_PETALS: tuple[Colour, ...] = (
    (228, 60, 84),
    (250, 186, 48),
    (238, 118, 168),
    (150, 96, 200),
    (252, 244, 236),
    (244, 126, 62),
)


def draw_desert(canvas: Canvas) -> None:
    """Mesas far away, dunes with a shaded side, tall cacti and stones."""
    chance = canvas.chance
    horizon = chance.uniform(0.52, 0.62)
    draw_sky(canvas, horizon + 0.16)
    for haze in (0.5, 0.25):
        for _ in range(chance.randint(1, 3)):
            _mesa(canvas, chance.uniform(0, 1), horizon + 0.06, chance.uniform(0.1, 0.24), haze)
    sand = chance.choice(((234, 176, 104), (228, 150, 98), (240, 196, 130)))
    for number, level in enumerate((horizon + 0.04, horizon + 0.14, horizon + 0.27)):
        _dune(canvas, level, canvas.toned(mixed(sand, (190, 104, 70), 0.16 * number), 0.3 - 0.14 * number))
    for _ in range(chance.randint(2, 5)):
        depth = chance.random()
        _cactus(
            canvas, chance.uniform(0.06, 0.94), horizon + 0.14 + depth * 0.26, 0.16 + depth * chance.uniform(0.14, 0.3)
        )
    for _ in range(chance.randint(2, 6)):
        x, y, radius = chance.random(), chance.uniform(horizon + 0.22, 0.98), chance.uniform(0.012, 0.035)
        canvas.half(x, y, radius, radius * 0.8, canvas.toned((150, 100, 80)))


def _mesa(canvas: Canvas, x: float, base: float, height: float, haze: float) -> None:
    chance = canvas.chance
    width = height * chance.uniform(0.5, 1.2)
    colour = canvas.toned((196, 96, 70), haze)
    top = base - height
    steps = ((1.0, top), (1.15, base - height * 0.35), (1.7, base))
    left, right = ([(x + side * width * share, y) for share, y in steps] for side in (-1, 1))
    canvas.polygon([*left, *reversed(right)], colour)
    band = mixed(colour, (90, 30, 30), 0.22)
    for share in (0.2, 0.38):
        canvas.box(x - width * 1.02, top + height * share, x + width * 1.02, top + height * (share + 0.06), band)


def _dune(canvas: Canvas, level: float, colour: Colour) -> None:
    chance = canvas.chance
    outline = rolling(chance, level, 0.045, 0.9)
    draw_ground(canvas, outline, colour)
    crest = min(range(5, 36), key=lambda number: outline[number][1])
    x, y = outline[crest]
    shade = [point for point in outline[crest:] if point[1] - y < 0.08]
    drift = chance.uniform(-0.1, 0.05)
    canvas.polygon([*shade, (x + drift + 0.12, y + 0.12), (x + drift, y + 0.1)], mixed(colour, (80, 30, 50), 0.2))


def _cactus(canvas: Canvas, x: float, base: float, height: float) -> None:
    chance = canvas.chance
    width, green = height * 0.085, canvas.toned(chance.choice(((62, 128, 84), (84, 142, 78), (48, 114, 94))))
    canvas.ellipse(x + height * 0.15, base, height * 0.32, height * 0.04, canvas.toned((150, 96, 70)), 130)
    canvas.rounded(x - width, base - height, x + width, base, width, green)
    for side in chance.choice(((-1, 1), (-1, 1), (1,), (-1,))):
        low, reach = base - height * chance.uniform(0.35, 0.6), height * chance.uniform(0.2, 0.28)
        high, arm = low - height * chance.uniform(0.18, 0.34), width * 0.72
        elbow = x + side * reach
        canvas.rounded(min(x, elbow) - arm, low - arm, max(x, elbow) + arm, low + arm, arm, green)
        canvas.rounded(elbow - arm, high, elbow + arm, low + arm, arm, green)
    light = mixed(green, (255, 255, 220), 0.22)
    for dx in (-0.35, 0.3):
        canvas.box(x + dx * width, base - height * 0.92, x + dx * width + 0.004, base - 0.01, light)
    if chance.random() < 0.35:
        canvas.ellipse(x, base - height - 0.006, width * 0.6, width * 0.5, canvas.toned((240, 90, 130)))


def draw_flowers(canvas: Canvas) -> None:
    """Green hills, a windmill now and then, and rows of flowers that grow towards the viewer."""
    chance = canvas.chance
    horizon = chance.uniform(0.4, 0.5)
    x = draw_sky(canvas, horizon + 0.05)
    far = chance.choice(((132, 180, 112), (150, 186, 100), (110, 172, 124)))
    draw_ground(canvas, rolling(chance, horizon, 0.03), canvas.toned(far, 0.4))
    if chance.random() < 0.45:
        _windmill(canvas, chance.choice((chance.uniform(0.12, 0.38), chance.uniform(0.62, 0.88))), horizon + 0.07)
    draw_ground(canvas, rolling(chance, horizon + 0.07, 0.025), canvas.toned(far, 0.15))
    if chance.random() < 0.3:
        canvas.ellipse(chance.random(), horizon + 0.12, 0.3, 0.02, canvas.toned((96, 170, 210)))
        draw_glitter(canvas, x, horizon + 0.105, horizon + 0.13, 0.03)
    draw_ground(canvas, rolling(chance, horizon + 0.13, 0.012), canvas.toned((76, 146, 78)))
    colours = chance.sample(_PETALS, chance.randint(2, 3))
    shape = chance.choice((_tulip, _daisy, _daisy, _poppy))
    y, stripes = horizon + 0.16, shape is _tulip and chance.random() < 0.7
    while y < 1.08:
        size = (0.008 + 0.13 * (y - horizon - 0.14)) * chance.uniform(0.9, 1.1)
        _flower_row(canvas, y, size, [chance.choice(colours)] if stripes else colours, shape)
        y += 0.01 + 0.2 * (y - horizon - 0.12)


def _flower_row(canvas: Canvas, y: float, size: float, colours: Sequence[Colour], shape: _Flower) -> None:
    chance = canvas.chance
    x = -size * chance.random()
    while x < 1 + size:
        colour = canvas.toned(chance.choice(colours))
        shape(canvas, x, y + chance.uniform(-0.4, 0.4) * size, size * chance.uniform(0.85, 1.15), colour)
        x += size * chance.uniform(2.0, 3.2)


def _stem(canvas: Canvas, x: float, y: float, size: float) -> None:
    green = canvas.toned((58, 124, 62))
    canvas.line([(x, y), (x, y + size * 3.2)], size * 0.2, green)
    for side in (-1, 1):
        leaf = [(x, y + size * 2.6), (x + side * size * 0.9, y + size * 1.2), (x + side * size * 0.35, y + size * 2.2)]
        canvas.polygon(leaf, mixed(green, (150, 200, 100), 0.25))


def _tulip(canvas: Canvas, x: float, y: float, size: float, colour: Colour) -> None:
    _stem(canvas, x, y, size)
    canvas.half(x, y - size * 0.1, size * 0.72, size, colour, lower=True)
    crown = [(-0.72, -0.05), (-0.68, -0.95), (-0.3, -0.45), (0, -1.05), (0.3, -0.45), (0.68, -0.95), (0.72, -0.05)]
    canvas.polygon([(x + dx * size, y + dy * size) for dx, dy in crown], colour)
    canvas.ellipse(x, y - size * 0.05, size * 0.3, size * 0.8, mixed(colour, (255, 255, 255), 0.22))


def _daisy(canvas: Canvas, x: float, y: float, size: float, colour: Colour) -> None:
    _stem(canvas, x, y, size)
    for number in range(8):
        angle = number * math.pi / 4 + 0.2
        px, py = x + math.cos(angle) * size * 0.62, y + math.sin(angle) * size * 0.62
        canvas.ellipse(px, py, size * 0.4, size * 0.4, colour if number % 2 else mixed(colour, (255, 255, 255), 0.14))
    canvas.ellipse(x, y, size * 0.42, size * 0.42, canvas.toned((120, 76, 40) if sum(colour) > 540 else (252, 206, 80)))


def _poppy(canvas: Canvas, x: float, y: float, size: float, colour: Colour) -> None:
    _stem(canvas, x, y, size)
    for dx, dy in ((-0.4, 0), (0.4, 0), (0, -0.35), (0, 0.3)):
        shade = mixed(colour, (0, 0, 0), 0.1 if dy else 0.0)
        canvas.ellipse(x + dx * size, y + dy * size, size * 0.62, size * 0.55, shade)
    canvas.ellipse(x, y, size * 0.24, size * 0.24, canvas.toned((50, 34, 50)))


def _windmill(canvas: Canvas, x: float, base: float) -> None:
    chance = canvas.chance
    height = chance.uniform(0.2, 0.28)
    wall, top = canvas.toned((246, 236, 220), 0.08), base - height
    canvas.polygon(
        [(x - height * 0.2, base), (x - height * 0.12, top), (x + height * 0.12, top), (x + height * 0.2, base)], wall
    )
    canvas.half(x, top, height * 0.14, height * 0.14, canvas.toned((180, 76, 60)))
    door = (255, 216, 120) if canvas.is_night else canvas.toned((120, 76, 56))
    canvas.box(x - height * 0.045, base - height * 0.2, x + height * 0.045, base, door)
    turn = chance.uniform(0, math.pi / 2)
    for number in range(4):
        angle = turn + number * math.pi / 2
        dx, dy = math.cos(angle) * height * 0.6, math.sin(angle) * height * 0.6
        nx, ny = -dy * 0.16, dx * 0.16
        sail = [(x + dx * 0.15, top + dy * 0.15), (x + dx, top + dy), (x + dx + nx, top + dy + ny)]
        canvas.polygon([*sail, (x + dx * 0.15 + nx, top + dy * 0.15 + ny)], canvas.toned((255, 250, 240)), 235)
        canvas.line([(x, top), (x + dx, top + dy)], 0.006, canvas.toned((110, 76, 60)))
