# Written by Homeport (role django_app).
"""Uploads go to the bucket of media.s3, unless the project has a default storage of its own."""

_local = (
    "django.core.files.storage.FileSystemStorage",
    "django.core.files.storage.filesystem.FileSystemStorage",
)
if _django < (4, 2):
    if globals().get("DEFAULT_FILE_STORAGE", _local[0]) in _local:
        raise RuntimeError(
            "media.s3: the overlay needs Django 4.2 or newer; set DEFAULT_FILE_STORAGE in the project's settings"
        )
elif STORAGES["default"]["BACKEND"] in _local:
    MEDIA_URL = _environment["MEDIA_URL"]
    STORAGES["default"] = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": _environment["AWS_STORAGE_BUCKET_NAME"],
            "access_key": _environment["AWS_ACCESS_KEY_ID"],
            "secret_key": _environment["AWS_SECRET_ACCESS_KEY"],
            "region_name": _environment["AWS_S3_REGION_NAME"],
            "endpoint_url": _environment.get("AWS_S3_ENDPOINT_URL") or None,
            "custom_domain": _environment.get("AWS_S3_CUSTOM_DOMAIN") or None,
            "location": _environment.get("AWS_LOCATION", ""),
            "querystring_auth": _environment.get("AWS_QUERYSTRING_AUTH") != "0",
            "signature_version": _environment.get("AWS_S3_SIGNATURE_VERSION") or None,
            "addressing_style": _environment.get("AWS_S3_ADDRESSING_STYLE") or None,
            "default_acl": None,
            # as in a folder: an upload never replaces another of the same name
            "file_overwrite": False,
        },
    }
