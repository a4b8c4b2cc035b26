"""The emulator's pictures: the same again from the same request, and visibly another from any other."""

import io

from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat

from hunyuan_async.emulator import Picture
from hunyuan_async.emulator._pictures import PAPER, draw

KOI = Picture("a koi pond, watercolor", 7, 256, 256)


def opened(picture: Picture) -> Image.Image:
    """The picture as a viewer sees it."""
    image = Image.open(io.BytesIO(draw(picture)))
    image.load()
    return image


def difference(first: Image.Image, second: Image.Image) -> float:
    """Of two images of one size, the mean over all pixels and colours; 255 is black against white."""
    bands = ImageStat.Stat(ImageChops.difference(first, second)).mean
    return sum(bands) / len(bands)


def written(image: Image.Image, box: tuple[int, int, int, int]) -> list[bool]:
    """Which pixels in *box* have the colour of the letters."""
    return [pixel == PAPER for pixel in image.crop(box).get_flattened_data()]


def test_a_picture_is_a_png_of_its_size() -> None:
    """What is drawn has the format and the pixels that were asked for."""
    image = opened(Picture("a fox", 1, 720, 256))

    assert (image.format, image.size, image.mode) == ("PNG", (720, 256), "RGB")


def test_the_same_picture_has_the_same_bytes() -> None:
    """Nothing but prompt, seed, size and input goes into a picture."""
    edit = Picture("at night", 1, 256, 256, (KOI,))

    assert draw(KOI) == draw(Picture("a koi pond, watercolor", 7, 256, 256))
    assert draw(edit) == draw(Picture("at night", 1, 256, 256, (KOI,)))


def test_seeds_and_prompts_differ_visibly() -> None:
    """Another seed, or another prompt with the same seed, is another picture at first sight."""
    koi = opened(KOI)

    assert difference(koi, opened(Picture(KOI.prompt, 8, 256, 256))) > 20
    assert difference(koi, opened(Picture("a fox", KOI.seed, 256, 256))) > 20


def test_every_picture_bears_the_same_word() -> None:
    """In the corner stands EMULATOR, whatever else is in the picture."""
    corner = (0, 0, 512, 51)
    word = written(opened(Picture("a koi pond", 7, 512, 512)), corner)

    assert sum(word) > 50
    assert written(opened(Picture("a fox", 3, 512, 512)), corner) == word


def test_the_prompt_is_written_on_the_picture() -> None:
    """A longer prompt covers more of the lower half with letters."""
    below = (0, 256, 512, 512)
    letters = [sum(written(opened(Picture("koi " * n, 7, 512, 512)), below)) for n in (1, 5, 20)]

    assert 0 < letters[0] < letters[1] < letters[2]


def test_an_edit_shows_what_it_started_from() -> None:
    """In its middle hangs the input, scaled down and otherwise untouched."""
    edit = opened(Picture("make it night", 3, 512, 512, (KOI,)))
    middle = (200, 140, 312, 230)

    without = opened(Picture("make it night", 3, 512, 512))
    hung = opened(KOI).resize((297, 297), Image.Resampling.BICUBIC)
    canvas = Image.new("RGB", (512, 512))
    canvas.paste(hung, (108, 36))

    assert difference(edit.crop(middle), canvas.crop(middle)) < 10
    assert difference(without.crop(middle), canvas.crop(middle)) > 20


def test_two_inputs_hang_side_by_side() -> None:
    """Both inputs of an edit can be seen: each changes its own half."""
    fox, owl = Picture("a fox", 1, 256, 256), Picture("an owl", 2, 256, 256)
    both = opened(Picture("together", 1, 512, 512, (KOI, fox)))
    left, right = (0, 60, 256, 300), (256, 60, 512, 300)

    other = opened(Picture("together", 1, 512, 512, (KOI, owl)))

    assert difference(both.crop(left), other.crop(left)) == 0
    assert difference(both.crop(right), other.crop(right)) > 10


@settings(max_examples=40, deadline=None)
@example(prompt=" ", width=64, height=64)
@example(prompt="\u200b\ud800\0", width=64, height=64)
@given(prompt=st.text(min_size=1, max_size=2000), width=st.sampled_from([64, 256]), height=st.integers(11, 384))
def test_any_prompt_can_be_drawn(prompt: str, width: int, height: int) -> None:
    """Control characters, lone surrogates, other scripts and long words are no reason to fail."""
    assert opened(Picture(prompt, 0, width, height)).size == (width, height)
