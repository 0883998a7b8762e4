# Written by Homeport (role django_app).
"""Static files with a hash of their content in their names."""

from django.contrib.staticfiles.storage import ManifestStaticFilesStorage


class HashedStaticFilesStorage(ManifestStaticFilesStorage):
    """As Django's, but a template that names a file that is not there gets its plain name, not an error."""

    manifest_strict = False
