from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat

from album import images
from album.models import Album


class PhotoInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class PhotosField(forms.FileField):
    """One or many photos. Cleans to a list of (file, suffix)."""

    widget = PhotoInput(attrs={"accept": "image/jpeg,image/png,image/webp,image/gif"})

    def clean(self, data, initial=None):
        files = data if isinstance(data, (list, tuple)) else [data]
        files = [super(PhotosField, self).clean(file, initial) for file in files or [None]]
        if len(files) > settings.MAX_PHOTOS:
            raise ValidationError(
                f"Please choose at most {settings.MAX_PHOTOS} photos at a time, not {len(files)}."
            )
        cleaned, errors = [], []
        for file in files:
            try:
                cleaned.append((file, self.check(file)))
            except ValidationError as error:
                errors.append(error)
        if errors:
            raise ValidationError(errors)
        return cleaned

    def check(self, file: UploadedFile):
        if file.size > settings.MAX_PHOTO_MB * 1024 * 1024:
            raise ValidationError(
                "%(name)s is too large (%(size)s); the limit is %(limit)s MB.",
                params={
                    "name": file.name,
                    "size": filesizeformat(file.size),
                    "limit": settings.MAX_PHOTO_MB,
                },
            )
        return images.validate(file)


class UploadForm(forms.Form):
    photos = PhotosField()
    caption = forms.CharField(
        max_length=120,
        required=False,
        help_text="Optional. Given to every photo of this upload.",
    )


class AlbumForm(forms.ModelForm):
    class Meta:
        model = Album
        fields = ["title", "description"]
        help_texts = {"description": "Optional. One sentence is enough."}
