"""Draws the emulator's pictures. The one module here that needs Pillow, so it is imported on start alone."""

from __future__ import annotations

import colorsys
import io
import math
import random
import textwrap

from hunyuan_async.emulator._service import Picture

try:
    from PIL import Image, ImageDraw, ImageFont, ImageOps
except ImportError:
    raise ImportError("the emulator draws with Pillow: pip install 'hunyuan-async[cli]'") from None

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER, INK = (252, 250, 245), (18, 20, 28)
INK_OPACITY = 175  # of 255
GLOW = [max(0, 255 - distance * 255 // 180) for distance in range(256)]  # a gradient's edge is at 180
BAND_SHARE = 0.4  # of the height, at most, for the prompt


def draw(picture: Picture) -> bytes:
    """The picture as a PNG file: the same bytes for the same picture."""
    file = io.BytesIO()
    # Level 1 takes a fraction of the default's time, and smooth pictures stay small all the same.
    _compose(picture).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _compose(picture: Picture) -> Image.Image:
    rng = random.Random(f"{picture.seed} {picture.prompt!a}")  # noqa: S311 - it has to repeat
    image = _landscape(picture.width, picture.height, rng)
    if picture.inputs:
        _hang(image, [_compose(each) for each in picture.inputs])
    _write(image, picture)
    return image


def _landscape(width: int, height: int, rng: random.Random) -> Image.Image:
    """Hills under a soft sky; hues, sun and hills are drawn from *rng*."""
    hue, step = rng.random(), rng.choice((-0.05, 0.05))
    sky = Image.new("RGB", (1, 3))
    for i in range(3):
        sky.putpixel((0, i), _colour(hue + i * step, 0.65 - 0.2 * i, 0.75 + 0.1 * i))
    image = sky.resize((1, height), Image.Resampling.BICUBIC).resize((width, height))
    _sun(image, _colour(hue + 0.45, 0.3, 1.0), rng)
    layers = rng.randint(3, 5)
    for i in range(layers):
        nearness = (i + 1) / layers
        colour = _colour(hue - 2 * step * nearness, 0.35 + 0.35 * nearness, 0.85 - 0.6 * nearness)
        _hill(image, colour, 0.45 + 0.35 * nearness, rng)
    return image


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _sun(image: Image.Image, colour: Colour, rng: random.Random) -> None:
    radius = round(min(image.size) * rng.uniform(0.06, 0.13))
    x, y = round(image.width * rng.uniform(0.15, 0.85)), round(image.height * rng.uniform(0.18, 0.42))
    glow = Image.radial_gradient("L").point(GLOW).resize((radius * 8, radius * 8))
    image.paste(colour, (x - radius * 4, y - radius * 4), glow)
    disc = Image.new("L", (radius * 4, radius * 4))
    ImageDraw.Draw(disc).ellipse((0, 0, radius * 4 - 1, radius * 4 - 1), fill=255)
    image.paste(PAPER, (x - radius, y - radius), disc.reduce(2))


def _hill(image: Image.Image, colour: Colour, level: float, rng: random.Random) -> None:
    """A ridge whose mean height is *level* of the way down, and everything below it."""
    waves = [(rng.uniform(0.5, 1.6) * 2**i, rng.uniform(0, math.tau), 0.07 / 2**i) for i in range(3)]
    steps = min(128, image.width // 2)
    heights = [
        image.height
        * (level + sum(size * math.sin(math.tau * pace * i / steps + phase) for pace, phase, size in waves))
        for i in range(steps + 1)
    ]
    top, foot = round(min(heights)), round(max(heights)) + 1
    # Only the ridge needs smooth edges: it alone is drawn at double size, as a mask.
    width, height = image.width * 2, (foot - top) * 2
    ridge = [(width * i / steps, (each - top) * 2) for i, each in enumerate(heights)]
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).polygon([*ridge, (width, height), (0, height)], fill=255)
    image.paste(colour, (0, top), mask.reduce(2))
    image.paste(colour, (0, foot, image.width, max(foot, image.height)))


def _hang(image: Image.Image, inputs: list[Image.Image]) -> None:
    """Hang what an edit starts from in white frames, side by side, above the prompt."""
    room = image.width * 0.86 / len(inputs), image.height * 0.6
    frame = max(1, min(image.size) // 60)
    for i, each in enumerate(inputs):
        scaled = ImageOps.contain(each, (round(room[0] * 0.94) - 2 * frame, round(room[1]) - 2 * frame))
        framed = ImageOps.expand(scaled, frame, PAPER)
        centre = image.width * 0.07 + room[0] * (i + 0.5)
        image.paste(framed, (round(centre - framed.width / 2), round(image.height * 0.36 - framed.height / 2)))


def _write(image: Image.Image, picture: Picture) -> None:
    """Put the word EMULATOR at the top, and the prompt and its seed at the bottom."""
    margin = max(2, min(image.size) // 40)
    font, lines = _fitted(picture.prompt, image.width - 4 * margin, image.height * BAND_SHARE)
    _panel(image, "\n".join([*lines, f"seed {picture.seed}"]), font, margin, at_bottom=True)
    _panel(image, "EMULATOR", ImageFont.load_default(max(8, min(image.size) // 36)), margin, at_bottom=False)


def _fitted(prompt: str, width: float, height: float) -> tuple[Font, list[str]]:
    """The prompt in lines that fit, in the largest font that allows it; cut off if none does."""
    words = " ".join(prompt.split())
    largest, smallest = max(9, round(width / 24)), max(7, round(width / 80))
    for size in range(largest, smallest - 1, -2):
        font = ImageFont.load_default(size)
        letter = max(1.0, font.getlength(words) / max(1, len(words)))
        lines = textwrap.wrap(words, max(1, int(width / letter * 0.95)))
        most = int(height / (size * 1.3))
        if len(lines) <= most:
            break
    return font, lines[: max(1, most)]


def _panel(image: Image.Image, text: str, font: Font, margin: int, *, at_bottom: bool) -> None:
    """White text on a dark, half transparent panel."""
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = draw.multiline_textbbox((0, 0), text, font=font)
    width, height = round(right - left) + 2 * margin, round(bottom - top) + 2 * margin
    y = image.height - margin - height if at_bottom else margin
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, width - 1, height - 1), margin, fill=INK_OPACITY)
    image.paste(INK, (margin, y), mask)
    draw.multiline_text((2 * margin - left, y + margin - top), text, PAPER, font)
