"""JPEG 2000 in its own container (ITU-T T.800, annex I), with Pillow."""

from dataclasses import replace

from nst.decoding import pillow
from nst.decoding.boxes import jpeg_2000_notes
from nst.decoding.opened import Opened
from nst.decoding.tags import notes_of_exif


def open_jpeg_2000(data: bytes) -> Opened:
    """Read the header. Raises errors of Pillow."""
    opened = pillow.open_file(data, "JPEG2000")
    profile, exif = jpeg_2000_notes(data)
    notes = notes_of_exif(exif) if exif else opened.notes
    return replace(opened, notes=replace(notes, dpi=notes.dpi or opened.notes.dpi, profile=profile))
