"""Everything that is done with Pillow to what visitors send."""

from io import BytesIO

from django.core.exceptions import ValidationError
from PIL import Image, ImageOps

# Pillow opens dozens of formats, some of them rarely looked after. These are what cameras,
# phones and screenshots make; the value is the suffix that the stored file gets.
FORMATS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif"}
# Above what phones take; below what would fill a small server's memory when unpacked.
MAX_PIXELS = 60_000_000

DISPLAY_SIZE = 1600
THUMBNAIL_SIZE = 400


def validate(file):
    """The suffix for a file that is a photo; ValidationError for one that is not."""
    name = file.name or "This file"
    try:
        with Image.open(file, formats=list(FORMATS)) as image:
            suffix = FORMATS[image.format]
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ValidationError(
                    "%(name)s has too many pixels (%(width)s × %(height)s).",
                    params={"name": name, "width": width, "height": height},
                )
            image.verify()
    except ValidationError:
        raise
    except Exception as error:
        # Pillow's readers raise nearly anything when they meet bytes made to confuse them.
        raise ValidationError(
            "%(name)s is not a photo that we can read. Please use JPEG, PNG, WebP or GIF.",
            params={"name": name},
        ) from error
    finally:
        file.seek(0)
    return suffix


def upright(file):
    """The picture as it is meant to be seen: upright, in plain RGB, at most DISPLAY_SIZE long.

    What cameras note in the file, such as the place, is left behind.
    """
    size = (DISPLAY_SIZE, DISPLAY_SIZE)
    with Image.open(file, formats=list(FORMATS)) as image:
        profile = image.info.get("icc_profile") if image.mode == "RGB" else None
        # Lets the JPEG reader unpack at a fraction of the size: several times faster.
        image.draft("RGB", size)
        if image.mode.startswith("I"):
            # 16 bits of grey, which Pillow would cut off at 255 instead of scaling.
            image = image.point(lambda value: value / 256).convert("L")
        elif image.mode in ("1", "P", "PA"):
            image = image.convert("RGBA")
        # Shrunk before anything else, so that only one copy of the full size is in memory.
        image.thumbnail(size, Image.Resampling.LANCZOS)
        image = ImageOps.exif_transpose(image)
    if image.mode != "RGB":
        image = image.convert("RGBA")
        # JPEG knows no transparency.
        paper = Image.new("RGBA", image.size, "white")
        paper.alpha_composite(image)
        image = paper.convert("RGB")
    image.info = {"icc_profile": profile} if profile else {}
    return image


def shrink(image, longest):
    """A copy that is at most that long, as a JPEG: its bytes, width and height."""
    image = image.copy()
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(
        buffer,
        "JPEG",
        quality=82,
        optimize=True,
        progressive=True,
        icc_profile=image.info.get("icc_profile"),
    )
    return buffer.getvalue(), image.width, image.height
