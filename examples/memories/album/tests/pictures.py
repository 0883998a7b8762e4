"""Files to upload, made on the spot."""

from io import BytesIO

from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image


def picture(name="beach.jpg", size=(2000, 1500), format="JPEG", mode="RGB", color="teal", **save):
    buffer = BytesIO()
    Image.new(mode, size, color).save(buffer, format, **save)
    return SimpleUploadedFile(name, buffer.getvalue())


def sideways():
    """Stored 1200 × 800, left half red, with the note that it is to be turned upright."""
    image = Image.new("RGB", (1200, 800), "blue")
    image.paste("red", (0, 0, 600, 800))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "A camera with a name"
    buffer = BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    return SimpleUploadedFile("sideways.jpg", buffer.getvalue())


def cut_off():
    """Looks like a photo until one tries to read all of it."""
    whole = picture(size=(1200, 900)).read()
    return SimpleUploadedFile("cut.jpg", whole[: len(whole) // 2])
