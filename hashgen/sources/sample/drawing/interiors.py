"""Scenes by a window, through which the light is seen: a dish on a table, a cat on the sill."""

import math
from random import Random

from hashgen.sources.sample.drawing.canvas import Canvas, Colour, draw_ground, draw_sky, mixed, rolling

_WALLS: tuple[Colour, ...] = ((240, 214, 190), (204, 222, 214), (222, 208, 226), (246, 226, 176), (198, 214, 232))
_FURS: tuple[tuple[Colour, Colour], ...] = (
    ((234, 142, 64), (190, 100, 40)),
    ((136, 140, 150), (96, 100, 112)),
    ((60, 58, 68), (40, 38, 48)),
    ((244, 234, 218), (216, 190, 160)),
    ((176, 128, 90), (128, 86, 56)),
)


def _room(canvas: Canvas, left: float, right: float, bottom: float) -> None:
    """A wall with a window between `left` and `right` that reaches down to `bottom`."""
    chance = canvas.chance
    draw_sky(canvas, bottom)
    hill = canvas.toned(chance.choice(((96, 152, 110), (120, 140, 160), (150, 160, 110))), 0.4)
    draw_ground(canvas, rolling(chance, bottom - chance.uniform(0.06, 0.14), 0.025), hill)
    wall = canvas.toned(chance.choice(_WALLS))
    if canvas.is_night:
        wall = mixed(wall, (96, 70, 76), 0.45)
    top = chance.uniform(0.05, 0.1)
    canvas.box(0, 0, left, 1, wall)
    canvas.box(right, 0, 1, 1, wall)
    canvas.box(left, 0, right, top, wall)
    canvas.box(left, bottom, right, 1, wall)
    _frame(canvas, left, top, right, bottom)


def _frame(canvas: Canvas, left: float, top: float, right: float, bottom: float) -> None:
    colour = canvas.toned((252, 246, 236))
    middle, bar = (left + right) / 2, top + (bottom - top) * 0.42
    for edges in (
        (left - 0.02, top - 0.02, right + 0.02, top),
        (left - 0.02, top, left, bottom),
        (right, top, right + 0.02, bottom),
        (middle - 0.008, top, middle + 0.008, bottom),
        (left, bar - 0.007, right, bar + 0.007),
    ):
        canvas.box(*edges, colour)
    if canvas.chance.random() < 0.6:
        _curtains(canvas, left, top, right, bottom)


def _curtains(canvas: Canvas, left: float, top: float, right: float, bottom: float) -> None:
    colour = canvas.toned(canvas.chance.choice(((226, 104, 90), (250, 238, 220), (94, 144, 150), (236, 180, 90))))
    width = (right - left) * canvas.chance.uniform(0.14, 0.22)
    for x, side in ((left - 0.03, 1), (right + 0.03, -1)):
        shape = [
            (x, top - 0.02),
            (x + side * width * 1.3, top - 0.02),
            (x + side * width, (top + bottom) / 2),
            (x, bottom),
        ]
        canvas.polygon(shape, colour)
        fold = [(x, top - 0.02), (x + side * width * 0.5, top - 0.02), (x, bottom)]
        canvas.polygon(fold, mixed(colour, (60, 20, 40), 0.12))
    canvas.box(left - 0.06, top - 0.03, right + 0.06, top - 0.016, canvas.toned((130, 92, 70)))


def draw_food(canvas: Canvas) -> None:
    """A laid table before a window: burger, pancakes, noodle bowl or pizza, and a drink."""
    chance = canvas.chance
    table = chance.uniform(0.58, 0.64)
    left = chance.uniform(0.06, 0.24)
    _room(canvas, left, left + chance.uniform(0.6, 0.7), table - 0.04)
    wood = canvas.toned(chance.choice(((196, 134, 88), (168, 110, 76), (222, 176, 128), (232, 226, 218))))
    canvas.box(0, table, 1, 1, wood)
    canvas.box(0, table, 1, table + 0.014, mixed(wood, (255, 255, 255), 0.25))
    for level in (0.1, 0.22, 0.36):
        canvas.box(0, table + level, 1, table + level + 0.005, mixed(wood, (60, 20, 10), 0.16))
    if canvas.is_night:
        canvas.glow(0.5, 0.72, 0.6, (255, 206, 130), 0.55)
    x, y, size = chance.uniform(0.42, 0.58), chance.uniform(0.8, 0.86), chance.uniform(0.25, 0.31)
    side = chance.choice((-1, 1))
    _drink(canvas, x + side * (size + 0.12), table + 0.14, chance.uniform(0.15, 0.19))
    canvas.ellipse(x, y + 0.015, size * 1.32, size * 0.42, mixed(wood, (30, 10, 10), 0.35))
    canvas.ellipse(x, y, size * 1.28, size * 0.4, warm(canvas, (250, 250, 250)))
    canvas.ellipse(x, y - 0.004, size * 1.02, size * 0.3, warm(canvas, (228, 232, 238)))
    chance.choice((_burger, _pancakes, _noodles, _pizza))(canvas, x, y, size)
    if chance.random() < 0.5:
        _steam(canvas, x, y - size * 0.95)


def warm(canvas: Canvas, colour: Colour) -> Colour:
    """A colour on a table or a sill: at night a lamp keeps it from going blue."""
    return mixed(canvas.toned(colour), mixed(colour, (200, 130, 80), 0.3), 0.6 if canvas.is_night else 0.15)


def _drink(canvas: Canvas, x: float, base: float, height: float) -> None:
    chance = canvas.chance
    width = height * 0.36
    if chance.random() < 0.5:
        cup = warm(canvas, chance.choice(((236, 96, 84), (84, 150, 170), (250, 244, 234))))
        canvas.ellipse(x + width * 1.2, base - height * 0.36, width * 0.55, height * 0.2, cup)
        canvas.ellipse(x + width * 1.2, base - height * 0.36, width * 0.3, height * 0.11, warm(canvas, (214, 160, 116)))
        canvas.rounded(x - width, base - height * 0.7, x + width, base, width * 0.45, cup)
        canvas.ellipse(x, base - height * 0.68, width, width * 0.3, mixed(cup, (255, 255, 255), 0.3))
        canvas.ellipse(x, base - height * 0.67, width * 0.82, width * 0.22, warm(canvas, (104, 62, 40)))
        return
    juice = warm(canvas, chance.choice(((252, 170, 50), (236, 88, 100), (170, 214, 90))))
    canvas.polygon([(x - width, base - height), (x + width, base - height), (x + width * 0.75, base),
                    (x - width * 0.75, base)], warm(canvas, (236, 246, 250)), 150)  # fmt: skip
    canvas.polygon([(x - width * 0.92, base - height * 0.75), (x + width * 0.92, base - height * 0.75),
                    (x + width * 0.72, base - 0.006), (x - width * 0.72, base - 0.006)], juice)  # fmt: skip
    canvas.line([(x, base - height * 0.5), (x + width * 0.9, base - height * 1.3)], 0.01, warm(canvas, (240, 80, 90)))
    canvas.ellipse(x - width * 0.8, base - height, width * 0.5, width * 0.5, warm(canvas, (250, 216, 80)))


def _burger(canvas: Canvas, x: float, y: float, size: float) -> None:
    chance = canvas.chance
    width, level, bun = size * 0.82, y + size * 0.12, warm(canvas, (222, 150, 76))
    canvas.rounded(x - width, level - size * 0.24, x + width, level, size * 0.11, mixed(bun, (90, 40, 10), 0.12))
    layers: list[tuple[Colour, float]] = [
        ((112, 62, 44), 0.17),
        ((250, 196, 60), 0.07),
        ((214, 62, 54), 0.09),
        ((110, 178, 70), 0.09),
    ]
    if chance.random() < 0.5:
        layers.insert(2, ((112, 62, 44), 0.15))
    level -= size * 0.2
    for colour, thick in layers:
        reach = width * chance.uniform(0.98, 1.08)
        canvas.rounded(x - reach, level - size * thick, x + reach, level, size * thick / 2, warm(canvas, colour))
        level -= size * thick * 0.9
    canvas.half(x, level + size * 0.03, width * 1.02, size * 0.62, bun)
    canvas.half(x - width * 0.12, level - size * 0.04, width * 0.75, size * 0.48, mixed(bun, (255, 230, 170), 0.25))
    for _ in range(chance.randint(8, 16)):
        dx = chance.uniform(-0.62, 0.62)
        seed_y = level - size * chance.uniform(0.1, 0.5) * (1 - dx * dx)
        canvas.ellipse(x + dx * width, seed_y, 0.008, 0.005, warm(canvas, (255, 240, 206)))


def _pancakes(canvas: Canvas, x: float, y: float, size: float) -> None:
    chance = canvas.chance
    cake, crust = warm(canvas, (250, 206, 134)), warm(canvas, (206, 132, 66))
    level, thick, width = y + size * 0.02, size * 0.15, size * 0.8
    for _ in range(chance.randint(3, 5)):
        dx = chance.uniform(-0.02, 0.02)
        canvas.rounded(x + dx - width, level - thick, x + dx + width, level + thick * 0.55, thick * 0.7, cake)
        canvas.ellipse(x + dx, level - thick * 0.55, width, size * 0.2, crust)
        level -= thick
    top = level + thick * 0.42
    syrup = warm(canvas, (150, 74, 26))
    canvas.ellipse(x, top, width * 0.7, size * 0.14, syrup)
    for dx in (-0.5, -0.1, 0.42):
        canvas.rounded(
            x + dx * width - 0.014, top, x + dx * width + 0.014, top + size * chance.uniform(0.28, 0.6), 0.014, syrup
        )
    canvas.rounded(x - size * 0.13, top - size * 0.17, x + size * 0.13, top + 0.01, 0.01, warm(canvas, (255, 236, 150)))
    berries: tuple[Colour, ...] = ((216, 40, 70), (64, 70, 150), (216, 40, 70))
    for _ in range(chance.randint(4, 7)):
        px, py = x + chance.uniform(-1, 1) * width, y + chance.uniform(0.06, 0.2) * size
        canvas.ellipse(px, py, 0.02, 0.02, warm(canvas, chance.choice(berries)))


def _noodles(canvas: Canvas, x: float, y: float, size: float) -> None:
    chance = canvas.chance
    bowl, rim = (
        warm(canvas, chance.choice(((200, 60, 56), (52, 84, 130), (60, 110, 96), (60, 56, 60)))),
        y - size * 0.42,
    )
    for dx in (0.5, 0.62):
        canvas.line(
            [(x + dx * size, rim + 0.02), (x + (dx + 0.55) * size, rim - size * 0.75)],
            0.011,
            warm(canvas, (150, 92, 60)),
        )
    canvas.half(x, rim, size, size * 0.66, bowl, lower=True)
    canvas.box(x - size * 0.4, y + size * 0.2, x + size * 0.4, y + size * 0.27, mixed(bowl, (0, 0, 0), 0.25))
    canvas.ellipse(x, rim, size, size * 0.28, mixed(bowl, (255, 255, 255), 0.3))
    canvas.ellipse(x, rim, size * 0.9, size * 0.23, warm(canvas, (214, 140, 70)))
    for number in range(5):
        wave = [(x + size * (-0.6 + 0.1 * n), rim + size * (0.06 * number - 0.1 + 0.03 * (n % 2))) for n in range(10)]
        canvas.line(wave, 0.011, warm(canvas, (250, 222, 140)))
    for dx in chance.choice(((-0.4, 0.1), (-0.45,), (0.2, -0.2))):
        canvas.ellipse(x + dx * size, rim - 0.01, size * 0.2, size * 0.13, warm(canvas, (255, 252, 244)))
        canvas.ellipse(x + dx * size, rim - 0.01, size * 0.1, size * 0.07, warm(canvas, (252, 170, 40)))
    for _ in range(chance.randint(8, 14)):
        px, py = x + chance.uniform(-0.7, 0.7) * size, rim + chance.uniform(-0.13, 0.14) * size
        canvas.ellipse(px, py, 0.011, 0.008, warm(canvas, (90, 170, 70)))


def _pizza(canvas: Canvas, x: float, y: float, size: float) -> None:
    chance = canvas.chance
    width, height, level = size * 1.08, size * 0.46, y - size * 0.06
    canvas.ellipse(x, level + 0.016, width, height, warm(canvas, (160, 96, 46)))
    canvas.ellipse(x, level, width, height, warm(canvas, (226, 160, 84)))
    canvas.ellipse(x, level, width * 0.86, height * 0.84, warm(canvas, (204, 62, 40)))
    canvas.ellipse(x, level, width * 0.82, height * 0.79, warm(canvas, (252, 212, 104)))
    for number in range(chance.randint(7, 10)):
        px, py = _on_disc(chance, number)
        canvas.ellipse(x + px * width, level + py * height, size * 0.14, size * 0.085, warm(canvas, (200, 52, 44)))
    for number in range(chance.randint(6, 12)):
        px, py = _on_disc(chance, number)
        canvas.ellipse(x + px * width, level + py * height, size * 0.06, size * 0.03, warm(canvas, (74, 140, 62)))


def _on_disc(chance: Random, number: int) -> tuple[float, float]:
    """A point on the unit disc's inner part, in another quarter for each number."""
    x, y = chance.uniform(0.08, 0.5), chance.uniform(0.08, 0.5)
    return (x if number % 2 else -x), (y if number // 2 % 2 else -y)


def _steam(canvas: Canvas, x: float, y: float) -> None:
    for dx in (-0.08, 0.0, 0.08):
        curve = [(x + dx + 0.012 * (-1) ** n, y - 0.03 * n) for n in range(5)]
        canvas.line(curve, 0.008, (255, 255, 255), 90)


def draw_cat(canvas: Canvas) -> None:
    """A cat that sits on the sill and looks at you, a potted plant beside it."""
    chance = canvas.chance
    sill = chance.uniform(0.8, 0.87)
    left = chance.uniform(0.06, 0.16)
    _room(canvas, left, 1 - chance.uniform(0.06, 0.16), sill)
    board = warm(canvas, (250, 240, 226))
    canvas.box(0, sill, 1, sill + 0.045, board)
    canvas.box(0, sill + 0.045, 1, sill + 0.065, mixed(board, (60, 40, 40), 0.3))
    if canvas.is_night:
        canvas.glow(0.5, 0.75, 0.6, (255, 200, 130), 0.4)
    x, size = chance.uniform(0.38, 0.62), chance.uniform(0.22, 0.28)
    side = 1 if x < 0.5 else -1
    if chance.random() < 0.75:
        _plant(canvas, x + side * chance.uniform(0.29, 0.35), sill, chance.uniform(0.1, 0.14))
    fur, stripe = (warm(canvas, colour) for colour in chance.choice(_FURS))
    _cat_body(canvas, x, sill, size, fur, stripe, -side)
    _cat_head(canvas, x + chance.uniform(-0.02, 0.02), sill - size * 1.5, size * 0.56, fur, stripe)


def _plant(canvas: Canvas, x: float, base: float, size: float) -> None:
    chance = canvas.chance
    green = warm(canvas, chance.choice(((70, 150, 90), (104, 160, 70), (50, 130, 110))))
    for number in range(7):
        dx = (number - 3) / 3
        tip = (x + dx * size * 1.1, base - size * (2.3 - 0.7 * abs(dx) + chance.uniform(-0.2, 0.2)))
        mid = (x + dx * size * 0.5, base - size * 1.5)
        leaf = [(x, base - size * 0.8), (mid[0] - size * 0.2, mid[1]), tip, (mid[0] + size * 0.2, mid[1])]
        canvas.polygon(leaf, mixed(green, (0, 0, 0), 0.07 * (number % 3)))
    pot = warm(canvas, chance.choice(((206, 104, 70), (240, 200, 120), (110, 140, 170))))
    canvas.polygon([(x - size * 0.55, base - size * 0.85), (x + size * 0.55, base - size * 0.85),
                    (x + size * 0.4, base), (x - size * 0.4, base)], pot)  # fmt: skip
    canvas.box(x - size * 0.62, base - size, x + size * 0.62, base - size * 0.78, mixed(pot, (255, 255, 255), 0.15))


def _cat_body(canvas: Canvas, x: float, base: float, size: float, fur: Colour, stripe: Colour, side: int) -> None:
    turns = [math.pi * (0.5 - 1.15 * step / 12) for step in range(13)]
    tail = [
        (x + side * size * (0.55 + 0.55 * math.cos(turn)), base + size * (0.18 - 0.34 * math.sin(turn)))
        for turn in turns
    ]
    canvas.line(tail, size * 0.17, stripe)
    canvas.ellipse(*tail[-1], size * 0.085, size * 0.085, stripe)
    canvas.ellipse(x, base - size * 0.55, size * 0.62, size * 0.62, fur)
    canvas.ellipse(x, base - size * 0.95, size * 0.44, size * 0.6, fur)
    canvas.box(x - size * 0.55, base - size * 0.3, x + size * 0.55, base, fur)
    chest = mixed(fur, (255, 255, 255), 0.45)
    canvas.ellipse(x, base - size * 0.8, size * 0.24, size * 0.48, chest)
    for dx in (-0.2, 0.2):
        canvas.rounded(
            x + (dx - 0.13) * size, base - size * 0.6, x + (dx + 0.13) * size, base + 0.006, size * 0.12, fur
        )
        canvas.ellipse(x + dx * size, base - size * 0.03, size * 0.15, size * 0.09, chest)
    for level in (0.35, 0.55, 0.75):
        for dx in (-1, 1):
            reach = size * (0.62 if level < 0.7 else 0.52)
            outer, tip = x + dx * reach * 0.96, x + dx * reach * 0.62
            edge = (base - size * (level + 0.05), base - size * (level - 0.05))
            canvas.polygon([(outer, edge[0]), (tip, base - size * level), (outer, edge[1])], stripe)


def _cat_head(canvas: Canvas, x: float, y: float, size: float, fur: Colour, stripe: Colour) -> None:
    chance = canvas.chance
    inner = warm(canvas, (240, 160, 160))
    for side in (-1, 1):
        ear = [
            (x + side * size * 0.95, y - size * 1.15),
            (x + side * size * 0.95, y - size * 0.1),
            (x + side * size * 0.2, y - size * 0.75),
        ]
        canvas.polygon(ear, fur)
        mean_x, mean_y = sum(px for px, _ in ear) / 3, sum(py for _, py in ear) / 3
        canvas.polygon([(mean_x + (px - mean_x) * 0.55, mean_y + (py - mean_y) * 0.55) for px, py in ear], inner)
    canvas.ellipse(x, y, size, size * 0.86, fur)
    for dx in (-0.22, 0, 0.22):
        canvas.polygon([(x + (dx - 0.07) * size, y - size * 0.84), (x + (dx + 0.07) * size, y - size * 0.84),
                        (x + dx * size, y - size * 0.42)], stripe)  # fmt: skip
    canvas.ellipse(x, y + size * 0.4, size * 0.42, size * 0.32, mixed(fur, (255, 255, 255), 0.45))
    iris = chance.choice(((150, 200, 80), (250, 200, 70), (110, 190, 220)))
    for side in (-1, 1):
        canvas.ellipse(x + side * size * 0.42, y - size * 0.02, size * 0.21, size * 0.22, iris)
        canvas.ellipse(
            x + side * size * 0.42,
            y - size * 0.02,
            size * 0.1 if canvas.is_night else size * 0.06,
            size * 0.2,
            (24, 22, 30),
        )
        canvas.ellipse(
            x + side * size * 0.42 + size * 0.06, y - size * 0.1, size * 0.045, size * 0.045, (255, 255, 255)
        )
        for dy in (0.3, 0.42, 0.54):
            start, end = x + side * size * 0.35, x + side * size * 1.15
            canvas.line([(start, y + dy * size), (end, y + (dy * 1.5 - 0.25) * size)], 0.003, (250, 250, 250), 190)
    nose = [(x - size * 0.1, y + size * 0.25), (x + size * 0.1, y + size * 0.25), (x, y + size * 0.37)]
    canvas.polygon(nose, warm(canvas, (226, 110, 120)))
    for side in (-1, 1):
        canvas.line([(x, y + size * 0.37), (x + side * size * 0.14, y + size * 0.5)], 0.004, (70, 40, 50))
