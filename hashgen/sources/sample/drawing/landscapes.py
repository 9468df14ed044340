"""Scenes under open sky: beach, mountains, city, forest."""

import math

from hashgen.sources.sample.drawing.canvas import (
    Canvas,
    Colour,
    Point,
    draw_glitter,
    draw_ground,
    draw_pine,
    draw_sky,
    mixed,
    rolling,
)

_BRIGHT: tuple[Colour, ...] = ((232, 76, 70), (250, 190, 60), (60, 160, 200), (240, 120, 150), (90, 180, 140))


def draw_beach(canvas: Canvas) -> None:
    """Sea to the horizon, a curved shore, palms, umbrellas and boats."""
    chance = canvas.chance
    horizon = chance.uniform(0.42, 0.54)
    x = draw_sky(canvas, horizon)
    if chance.random() < 0.5:
        _island(canvas, horizon)
    deep, shallow = canvas.toned((18, 112, 168)), canvas.toned((72, 204, 204))
    canvas.gradient((0, horizon, 1, 1), (deep, mixed(deep, shallow, 0.5), shallow))
    draw_glitter(canvas, x, horizon + 0.005, horizon + 0.26, 0.06)
    for _ in range(chance.randint(0, 2)):
        _boat(canvas, chance.uniform(0.1, 0.9), horizon + chance.uniform(0.02, 0.08), chance.uniform(0.06, 0.11))
    shore = rolling(chance, chance.uniform(0.74, 0.8), 0.03, 0.7)
    for offset, alpha in ((-0.035, 90), (-0.018, 230)):
        outline = [(px, py + offset) for px, py in shore]
        canvas.polygon([*outline, (1, 1), (0, 1)], canvas.toned((250, 252, 250)), alpha)
    draw_ground(canvas, shore, canvas.toned((246, 220, 168)))
    draw_ground(canvas, [(px, py + 0.07) for px, py in shore], canvas.toned((238, 206, 148)))
    for _ in range(chance.randint(0, 2)):
        _umbrella(canvas, chance.uniform(0.15, 0.85), chance.uniform(0.86, 0.94), chance.uniform(0.1, 0.16))
    side = chance.choice((-1, 1))
    for number in range(chance.randint(1, 3)):
        foot = 0.5 + side * (0.5 - 0.1 * number - chance.uniform(0.02, 0.1))
        _palm(canvas, foot, chance.uniform(0.88, 0.98), chance.uniform(0.42, 0.66), -side)


def _island(canvas: Canvas, horizon: float) -> None:
    chance = canvas.chance
    for _ in range(chance.randint(1, 2)):
        x, width = chance.uniform(0, 1), chance.uniform(0.12, 0.25)
        colour = canvas.toned((70, 130, 120), 0.45)
        canvas.half(x, horizon + 0.003, width, width * chance.uniform(0.25, 0.5), colour)


def _boat(canvas: Canvas, x: float, y: float, size: float) -> None:
    chance = canvas.chance
    sail = canvas.toned(chance.choice(((255, 255, 250), (250, 120, 90), (255, 214, 120))))
    canvas.polygon([(x, y - size * 1.3), (x, y - size * 0.1), (x - size * 0.5, y - size * 0.1)], sail)
    canvas.polygon(
        [(x + size * 0.06, y - size * 1.1), (x + size * 0.06, y - size * 0.1), (x + size * 0.45, y - size * 0.1)],
        mixed(sail, (0, 0, 0), 0.12),
    )
    hull = [
        (x - size * 0.6, y),
        (x + size * 0.6, y),
        (x + size * 0.4, y + size * 0.22),
        (x - size * 0.4, y + size * 0.22),
    ]
    canvas.polygon(hull, canvas.toned((120, 62, 48)))


def _umbrella(canvas: Canvas, x: float, base: float, size: float) -> None:
    chance = canvas.chance
    one, other = canvas.toned(chance.choice(_BRIGHT)), canvas.toned((255, 246, 232))
    canvas.ellipse(x + size * 0.3, base + 0.005, size * 0.9, size * 0.14, canvas.toned((200, 168, 118)), 150)
    canvas.line([(x, base), (x - size * 0.1, base - size * 1.5)], 0.008, canvas.toned((120, 90, 70)))
    top, cx = base - size * 1.4, x - size * 0.1
    for number, share in enumerate((1.0, 0.8, 0.6, 0.4, 0.2)):
        canvas.half(cx, top, size * share, size * 0.75, one if number % 2 == 0 else other)
    towel = canvas.toned(chance.choice(_BRIGHT))
    left = x + size * 0.5
    canvas.polygon(
        [(left, base), (left + size * 0.9, base), (left + size * 1.1, base + 0.03), (left + size * 0.1, base + 0.03)],
        towel,
    )


def _palm(canvas: Canvas, x: float, base: float, height: float, lean: int) -> None:
    chance = canvas.chance
    bend = lean * height * chance.uniform(0.12, 0.4)
    trunk = canvas.toned((128, 88, 60))
    path = [(x + bend * t * t, base - height * t) for t in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    width = [0.02 - 0.009 * t for t in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    left = [(px - w, py) for (px, py), w in zip(path, width, strict=True)]
    right = [(px + w, py) for (px, py), w in zip(path, width, strict=True)]
    canvas.polygon([*left, *reversed(right)], trunk)
    top_x, top_y = path[-1]
    for angle in (-2.9, -2.3, -1.75, -1.2, -0.6, -0.05, 0.35, -3.4):
        _frond(canvas, top_x, top_y, angle + chance.uniform(-0.15, 0.15), height * chance.uniform(0.34, 0.46))
    for dx in (-0.014, 0.012):
        canvas.ellipse(top_x + dx, top_y + 0.014, 0.014, 0.014, canvas.toned((92, 60, 40)))


def _frond(canvas: Canvas, x: float, y: float, angle: float, length: float) -> None:
    green = canvas.toned(mixed((44, 130, 74), (98, 170, 80), canvas.chance.random()))
    upper: list[Point] = []
    lower: list[Point] = []
    for t in (0.0, 0.25, 0.5, 0.75, 1.0):
        px = x + length * t * math.cos(angle)
        py = y + length * t * math.sin(angle) + length * 0.55 * t * t
        thick = length * 0.13 * math.sin(math.pi * min(1.0, t * 0.9 + 0.08))
        upper.append((px, py - thick * 0.6))
        lower.append((px, py + thick * 0.6))
    canvas.polygon([*upper, *reversed(lower)], green)


def draw_mountains(canvas: Canvas) -> None:
    """Ranges with snow on the peaks, a lake or a meadow before them, pines in front."""
    chance = canvas.chance
    ground = chance.uniform(0.66, 0.76)
    x = draw_sky(canvas, ground)
    rock = chance.choice(((108, 122, 150), (118, 112, 134), (96, 126, 140)))
    for layer, (haze, height) in enumerate(((0.62, 0.44), (0.34, 0.5), (0.1, 0.36))):
        _range(canvas, ground, height * chance.uniform(0.85, 1.1), canvas.toned(rock, haze), 0.3 - 0.1 * layer)
    if chance.random() < 0.65:
        water = canvas.toned((70, 142, 176))
        canvas.gradient((0, ground, 1, 1), (mixed(water, canvas.light.haze, 0.45), water))
        draw_glitter(canvas, x, ground + 0.02, 0.92, 0.07)
    else:
        canvas.gradient((0, ground, 1, 1), (canvas.toned((150, 188, 110)), canvas.toned((92, 150, 84))))
    draw_ground(canvas, rolling(chance, 0.92, 0.035, 0.8), canvas.toned((58, 108, 76)))
    for _ in range(chance.randint(6, 14)):
        px = chance.choice((chance.uniform(0, 0.35), chance.uniform(0.65, 1)))
        draw_pine(canvas, px, chance.uniform(0.92, 1.02), chance.uniform(0.14, 0.3), canvas.toned((34, 84, 66)))


def _range(canvas: Canvas, base: float, height: float, colour: Colour, spread: float) -> None:
    chance = canvas.chance
    x = chance.uniform(-0.2, 0.0)
    snow = mixed(canvas.toned((255, 255, 255)), colour, 0.05)
    while x < 1.1:
        half = chance.uniform(0.2, 0.3) + spread * 0.2
        peak_x, peak_y = x + half, base - height * chance.uniform(0.6, 1.0)
        foot = base + 0.01
        canvas.polygon([(peak_x, peak_y), (peak_x + half * 1.2, foot), (peak_x - half * 1.2, foot)], colour)
        shade = mixed(colour, (20, 20, 60), 0.16)
        canvas.polygon([(peak_x, peak_y), (peak_x + half * 1.2, foot), (peak_x + half * 0.25, foot)], shade)
        _snow(canvas, peak_x, peak_y, half * 1.2, foot - peak_y, snow)
        x += half * chance.uniform(0.9, 1.4)


def _snow(canvas: Canvas, x: float, y: float, half: float, height: float, colour: Colour) -> None:
    chance = canvas.chance
    depth = chance.uniform(0.24, 0.38)
    jags = [(share, depth * chance.uniform(0.6, 1.15)) for share in (-0.6, -0.2, 0.2, 0.6)]
    edge = [(x + half * depth * share * 1.2, y + height * down) for share, down in jags]
    left, right = (x - half * depth, y + height * depth), (x + half * depth, y + height * depth)
    canvas.polygon([(x, y), right, *reversed(edge), left], colour)


def draw_city(canvas: Canvas) -> None:
    """A skyline in three depths; lit windows and their reflections when it is dark."""
    chance = canvas.chance
    base = chance.uniform(0.76, 0.86)
    x = draw_sky(canvas, base)
    hue = chance.choice(((120, 140, 176), (150, 128, 150), (104, 150, 160), (168, 140, 124)))
    for haze, tallest, width in ((0.6, 0.42, 0.06), (0.32, 0.5, 0.085), (0.04, 0.4, 0.11)):
        left = -chance.uniform(0, 0.05)
        while left < 1:
            wide = width * chance.uniform(0.75, 1.5)
            tall = tallest * (0.3 + 0.5 * chance.random() + (0.6 if chance.random() < 0.14 else 0.0))
            tone = mixed(hue, chance.choice(((70, 80, 120), (190, 170, 160), (90, 110, 140))), chance.uniform(0, 0.5))
            _building(canvas, left, base - tall, left + wide, base, canvas.toned(tone, haze), haze)
            left += wide * chance.uniform(0.95, 1.15)
    water = canvas.toned((58, 104, 144))
    canvas.gradient((0, base, 1, 1), (mixed(water, canvas.light.haze, 0.3), water))
    draw_glitter(canvas, x, base + 0.01, 1.0, 0.08)
    for _ in range(26):
        px, py, reach = chance.random(), chance.uniform(base + 0.01, 1), chance.uniform(0.01, 0.05)
        colour = (255, 214, 130) if canvas.is_night else canvas.light.haze
        canvas.box(px - reach, py, px + reach, py + 0.004, colour, 110)
    canvas.box(0, base - 0.012, 1, base, canvas.toned((60, 66, 84)))


def _building(canvas: Canvas, left: float, top: float, right: float, base: float, colour: Colour, haze: float) -> None:
    chance = canvas.chance
    middle, roof = (left + right) / 2, chance.random()
    if roof < 0.15:
        canvas.polygon([(left, top), (middle, top - 0.05), (right, top)], colour)
    elif roof < 0.35:
        canvas.box(left + (right - left) * 0.2, top - 0.025, right - (right - left) * 0.2, top, colour)
        canvas.box(middle - 0.003, top - 0.08, middle + 0.003, top, colour)
    elif roof < 0.42:
        canvas.half(middle, top, (right - left) / 2, (right - left) / 2, colour)
    canvas.box(left, top, right, base, colour)
    canvas.box(right - (right - left) * 0.28, top, right, base, mixed(colour, (10, 10, 40), 0.14))
    dark = mixed(colour, (255, 255, 255), 0.28)
    lit = mixed((255, 216, 120), colour, haze * 0.6)
    share = 0.5 if canvas.is_night else 0.12 if canvas.light.name == "golden" else 0.0
    columns = max(2, round((right - left) / 0.026))
    step = (right - left) / (columns + 0.4)
    for row in range(int((base - top - 0.02) / 0.034)):
        for column in range(columns):
            is_lit = chance.random() < share
            if is_lit or not canvas.is_night:
                wx, wy = left + step * (0.45 + column), top + 0.016 + row * 0.034
                canvas.box(wx, wy, wx + step * 0.5, wy + 0.016, lit if is_lit else dark)


def draw_forest(canvas: Canvas) -> None:
    """Rows of pines in mist, tall trunks close by, a path; now and then a tent or mushrooms."""
    chance = canvas.chance
    draw_sky(canvas, 0.62)
    green = chance.choice(((38, 104, 72), (54, 116, 64), (30, 96, 90)))
    for haze, base, tall in ((0.6, 0.62, 0.4), (0.4, 0.68, 0.46), (0.18, 0.75, 0.5)):
        draw_ground(canvas, rolling(chance, base - 0.03, 0.015), canvas.toned(mixed(green, (120, 160, 90), 0.3), haze))
        x = -0.03
        while x < 1.05:
            draw_pine(
                canvas,
                x,
                base + chance.uniform(-0.02, 0.02),
                tall * chance.uniform(0.6, 1.1),
                canvas.toned(green, haze),
            )
            x += chance.uniform(0.05, 0.1)
    draw_ground(canvas, rolling(chance, 0.76, 0.02), canvas.toned((92, 134, 70)))
    _path(canvas, 0.76)
    if chance.random() < 0.4:
        _tent(canvas, chance.uniform(0.25, 0.75), chance.uniform(0.84, 0.9), chance.uniform(0.1, 0.15))
    for _ in range(chance.randint(2, 5)):
        px = chance.choice((chance.uniform(-0.02, 0.26), chance.uniform(0.74, 1.02)))
        _trunk(canvas, px, chance.uniform(0.88, 1.02), chance.uniform(0.016, 0.032))
    for _ in range(chance.randint(0, 5)):
        _mushroom(canvas, chance.random(), chance.uniform(0.88, 0.98), chance.uniform(0.016, 0.03))


def _path(canvas: Canvas, top: float) -> None:
    chance = canvas.chance
    far, near = chance.uniform(0.35, 0.65), chance.uniform(0.25, 0.75)
    middle = (far + near) / 2 + chance.uniform(-0.12, 0.12)
    left = [(far - 0.012, top), (middle - 0.05, (top + 1) / 2), (near - 0.16, 1.0)]
    right = [(near + 0.16, 1.0), (middle + 0.05, (top + 1) / 2), (far + 0.012, top)]
    canvas.polygon([*left, *right], canvas.toned((206, 176, 128)))


def _trunk(canvas: Canvas, x: float, base: float, width: float) -> None:
    bark = canvas.toned((92, 62, 48))
    canvas.polygon([(x - width, base), (x + width, base), (x + width * 0.7, -0.02), (x - width * 0.7, -0.02)], bark)
    canvas.polygon([(x, base), (x + width, base), (x + width * 0.7, 0), (x, 0)], mixed(bark, (0, 0, 0), 0.2))
    canvas.ellipse(x, base, width * 1.6, 0.012, canvas.toned((70, 104, 56)))


def _tent(canvas: Canvas, x: float, base: float, size: float) -> None:
    colour = canvas.toned(canvas.chance.choice(_BRIGHT))
    if canvas.is_night:
        canvas.glow(x, base - size * 0.5, size * 2, (255, 200, 110), 0.8)
        colour = mixed(colour, (255, 180, 80), 0.6)
    canvas.polygon([(x, base - size), (x + size, base), (x - size, base)], colour)
    canvas.polygon([(x, base - size), (x + size * 0.3, base), (x - size * 0.3, base)], mixed(colour, (0, 0, 0), 0.45))


def _mushroom(canvas: Canvas, x: float, base: float, size: float) -> None:
    canvas.box(x - size * 0.3, base - size, x + size * 0.3, base, canvas.toned((244, 230, 206)))
    canvas.half(x, base - size * 0.8, size, size, canvas.toned((214, 66, 56)))
    for dx, dy in ((-0.4, 1.1), (0.3, 1.3), (0.1, 0.98)):
        canvas.ellipse(x + dx * size, base - dy * size, size * 0.13, size * 0.13, canvas.toned((255, 244, 230)))
