"""Landscapes for the demo album: a sky, a sun or moon, and hills that fade with distance."""

import math
import random
from io import BytesIO

from PIL import Image, ImageColor, ImageDraw, ImageFilter

# caption, size, sky from top to horizon, sun or moon, its place, far and near hills
SCENES = [
    ("First light", (1600, 1067), ("#39478a", "#e58fa0", "#ffd9b8"), "#fff0d6", (0.5, 0.52), ("#a5708f", "#251f3d")),
    ("Mist", (1600, 1067), ("#8fa9b8", "#c9d6d8", "#f3efe6"), "#fffaf0", (0.4, 0.34), ("#b5c5c4", "#33504f")),
    ("Noon", (1200, 1500), ("#1f6fb5", "#6bb6e8", "#d9f0f7"), "#ffffff", (0.28, 0.26), ("#7aa9a0", "#15402f")),
    ("Over the valley", (1600, 900), ("#2f7fc1", "#8cc7ea", "#eaf6f5"), "#fffdf0", (0.5, 0.16), ("#8fb9b4", "#1d4a3c")),
    ("Golden hour", (1600, 1067), ("#4e6fa8", "#f0a86c", "#ffe3a6"), "#fff6d8", (0.66, 0.46), ("#d08a5b", "#47291f")),
    ("Embers", (1600, 1067), ("#2a1a4a", "#a33f5f", "#ffb36b"), "#ffe1a8", (0.3, 0.56), ("#8d3f5c", "#210f26")),
    ("Blue hour", (1200, 1500), ("#101b3b", "#3b4a82", "#c58a9a"), None, (0, 0), ("#56608f", "#12172d")),
    ("Moonrise", (1600, 1067), ("#050816", "#1b2a52", "#3f4f86"), "#d5dcf5", (0.74, 0.2), ("#2b3769", "#080c1c")),
]  # fmt: skip


def draw_all():
    """Pairs of caption and JPEG. The album shows the newest first, so the day begins at the top."""
    for number, scene in reversed(list(enumerate(SCENES))):
        caption, *rest = scene
        # A fixed seed: the same album on every machine.
        yield caption, draw(random.Random(number), *rest)


def draw(chance, size, sky, sun, place, hills):
    width, height = size
    image = _gradient(size, sky)
    if sun:
        image = _shine(image, sun, (int(place[0] * width), int(place[1] * height)))
    layers = 6
    for layer in range(layers):
        depth = layer / (layers - 1)
        # Hills stand closer together at the horizon, as they do outside.
        level = height * (0.56 + 0.36 * depth**1.2)
        rough = height * (0.05 + 0.05 * depth)
        color = _mix(hills[0], hills[1], depth**0.8)
        image = _hill(image, chance, level, rough, color, _mix(hills[0], sky[-1], 0.5), depth)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _mix(first, second, share):
    a = ImageColor.getrgb(first) if isinstance(first, str) else first
    b = ImageColor.getrgb(second) if isinstance(second, str) else second
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))


def _gradient(size, colors):
    height = size[1]
    column = Image.new("RGB", (1, height))
    horizon = height * 0.68
    for y in range(height):
        position = min(y / horizon, 1) * (len(colors) - 1)
        index = min(int(position), len(colors) - 2)
        column.putpixel((0, y), _mix(colors[index], colors[index + 1], position - index))
    return column.resize(size)


def _shine(image, color, center):
    radius = min(image.size) // 18
    x, y = center
    color = ImageColor.getrgb(color)
    # Drawn small and enlarged: the blur of the glow costs next to nothing this way.
    small = (image.width // 8, image.height // 8)
    for spread, strength in ((7, 70), (2.6, 110)):
        glow = Image.new("L", small, 0)
        reach = radius * spread / 8
        box = (x / 8 - reach, y / 8 - reach, x / 8 + reach, y / 8 + reach)
        ImageDraw.Draw(glow).ellipse(box, fill=strength)
        glow = glow.filter(ImageFilter.GaussianBlur(reach / 2)).resize(image.size, Image.Resampling.BICUBIC)
        image = Image.composite(Image.new("RGB", image.size, color), image, glow)
    disc = Image.new("L", (radius * 8, radius * 8), 0)
    ImageDraw.Draw(disc).ellipse((radius * 2, radius * 2, radius * 6, radius * 6), fill=245)
    disc = disc.resize((radius * 4, radius * 4), Image.Resampling.LANCZOS)
    image.paste(color, (x - 2 * radius, y - 2 * radius), disc)
    return image


def _hill(image, chance, level, rough, color, haze, depth):
    width, height = image.size
    waves = [
        (chance.uniform(0.6, 1.4) * 2**octave, chance.uniform(0, 6.28), 0.52**octave) for octave in range(6)
    ]
    # Twice the size and shrunk again, for edges without steps.
    mask = Image.new("L", (width, height * 2), 0)
    points = []
    for x in range(0, width + 4, 4):
        swing = sum(
            share * math.sin(6.28 * frequency * x / width + phase) for frequency, phase, share in waves
        )
        points.append((x, (level - rough * swing) * 2))
    ImageDraw.Draw(mask).polygon([*points, (width + 4, height * 2), (0, height * 2)], fill=255)
    mask = mask.resize(image.size, Image.Resampling.LANCZOS)
    # Mist gathers at the foot of the far hills.
    foot = _mix(color, haze, 0.55 * (1 - depth))
    column = Image.new("RGB", (1, height))
    for y in range(height):
        share = min(max((y - level) / (height * 0.22), 0), 1)
        column.putpixel((0, y), _mix(color, foot, share))
    return Image.composite(column.resize(image.size), image, mask)
