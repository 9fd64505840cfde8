"""The errors that a caller may want to catch; each message is one sentence fit to show to a person."""


class NSTError(Exception):
    """Root of every error this project raises on purpose."""

    exit_code = 1  # of the program, where the error ends it


class WeightsError(NSTError):
    """A weight file is missing, altered, or not a VGG19."""


class ImageError(NSTError):
    """Bytes that are no picture, a picture that is damaged, or one too large to be decoded."""
