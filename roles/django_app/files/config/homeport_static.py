# Written by Homeport (role django_app).
"""Static files with a hash of their content in their names."""

from django.contrib.staticfiles.storage import ManifestStaticFilesStorage

try:
    from whitenoise.storage import CompressedManifestStaticFilesStorage
except ImportError:  # only where whitenoise serves them
    CompressedManifestStaticFilesStorage = ManifestStaticFilesStorage


class PlainNames:
    """A template or style sheet that names a file that is not there gets its plain name, not an error."""

    manifest_strict = False

    def hashed_name(self, name, content=None, filename=None):
        try:
            return super().hashed_name(name, content, filename)
        except ValueError:
            return name


class HashedStaticFilesStorage(PlainNames, ManifestStaticFilesStorage):
    """As Django's."""


class CompressedStaticFilesStorage(PlainNames, CompressedManifestStaticFilesStorage):
    """As whitenoise's."""
