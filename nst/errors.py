"""The errors that the library raises on purpose; each message is one sentence that can be shown to a user."""


class NSTError(Exception):
    """Base class of all errors that this project raises on purpose."""

    exit_code = 1  # of the program, where the error ends it


class WeightsError(NSTError):
    """A weight file is missing, can't be read, is altered, or is not a VGG19."""


class DownloadError(WeightsError):
    """A weight file can't be downloaded now. Another try may succeed."""


class ImageError(NSTError):
    """The bytes are not a picture, or a picture or a mask cannot be used.

    It is damaged, too large to be decoded, too small, a mask that is empty, or transparent where results
    cannot be.
    """
