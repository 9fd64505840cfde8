"""What goes from a content to its result: the resolution always, EXIF on request; and results say sRGB."""

import io
from dataclasses import replace

import pytest
from PIL import Image

from nst import images
from nst.parameters import Format
from tests.conftest import make_picture
from tests.nst.files import file_of
from tests.nst.making import LONG, SHORT, TEXT, directory, jpeg_with, tiff

FORMATS: tuple[Format, ...] = ("png", "jpg", "webp", "tiff")
EXIF_IFD, GPS_IFD, SOFTWARE = 0x8769, 0x8825, 0x0131
DESCRIPTION, USER_COMMENT, OWNER = 0x010E, 0x9286, 0xA430
ORIENTATION, MAKE, COPYRIGHT, DATE, COLOR_SPACE, MAKER_NOTE = 0x0112, 0x010F, 0x8298, 0x9003, 0xA001, 0x927C


def photograph() -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE], exif[COPYRIGHT], exif[SOFTWARE] = 6, "Maker", "(c) Owner", "Editor"
    exif.get_ifd(EXIF_IFD).update({DATE: "2020:01:02 03:04:05", COLOR_SPACE: 65535, MAKER_NOTE: b"x" * 99})
    exif.get_ifd(GPS_IFD)[1] = "N"
    return file_of(make_picture(60, 40), "JPEG", exif=exif, dpi=(300, 150))


def result(form: Format, kept: bool) -> Image.Image:
    content = images.decode(photograph())
    exif = images.kept_exif(content.exif) if kept else b""
    file = io.BytesIO(images.encode(replace(content, exif=exif), form, "nst", {"id": "a"}))
    return Image.open(file)


@pytest.mark.parametrize("form", FORMATS)
def test_a_result_says_that_it_is_srgb_and_has_the_resolution_of_its_content(form: Format) -> None:
    with result(form, False) as image:
        assert "srgb" in image.info or b"sRGB".decode().encode("utf-16-be") in image.info["icc_profile"]
        assert MAKE not in image.getexif()
    found = images.decode(images.encode(images.decode(photograph()), form, "nst", {}))
    assert found.dpi == pytest.approx((150, 300), abs=0.02)  # the content was turned


@pytest.mark.parametrize("form", FORMATS)
def test_exif_is_kept_on_request_without_orientation_and_maker_note(form: Format) -> None:
    with result(form, True) as image:
        exif = image.getexif()
        assert (exif[MAKE], exif[COPYRIGHT], exif[SOFTWARE]) == ("Maker", "(c) Owner", "nst")
        assert ORIENTATION not in exif
        assert exif.get_ifd(EXIF_IFD) == {DATE: "2020:01:02 03:04:05", COLOR_SPACE: 1}
        assert exif.get_ifd(GPS_IFD)[1] == "N"
        assert image.size == (40, 60)


@pytest.mark.parametrize("exif", [b"", b"garbage", tiff({ORIENTATION: (SHORT, [6])}), tiff({})[:10]])
def test_broken_or_empty_exif_leaves_nothing_to_keep(exif: bytes) -> None:
    data = jpeg_with(file_of(make_picture(), "JPEG"), (0xE1, b"Exif\0\0" + exif))
    assert images.kept_exif(images.decode(data).exif) == b""


def kept(form: Format, exif: Image.Exif) -> Image.Exif:
    """The EXIF of a result that keeps that of its content, a JPEG with this EXIF."""
    content = images.decode(file_of(make_picture(), "JPEG", exif=exif))
    content = replace(content, exif=images.kept_exif(content.exif))
    with Image.open(io.BytesIO(images.encode(content, form, "nst", {"id": "a"}))) as image:
        return image.getexif()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_texts_of_other_characters_keep_their_bytes(form: Format, encoding: str) -> None:
    text = "\N{COPYRIGHT SIGN} Jane M\N{LATIN SMALL LETTER U WITH DIAERESIS}ller".encode(encoding)
    exif = Image.Exif()
    exif[COPYRIGHT] = text
    assert kept(form, exif)[COPYRIGHT].encode("latin-1") == text


@pytest.mark.parametrize("form", FORMATS)
def test_texts_in_a_directory_keep_their_bytes_and_their_type(form: Format) -> None:
    name = "M\N{LATIN SMALL LETTER U WITH DIAERESIS}ller".encode()
    exif = tiff({EXIF_IFD: (LONG, [26])}) + directory({OWNER: (TEXT, list(name + b"\0"))}, 26)
    content = images.decode(jpeg_with(file_of(make_picture(), "JPEG"), (0xE1, b"Exif\0\0" + exif)))
    content = replace(content, exif=images.kept_exif(content.exif))
    with Image.open(io.BytesIO(images.encode(content, form, "nst", {}))) as image:
        found = image.getexif().get_ifd(EXIF_IFD)[OWNER]
    assert found == name.decode("latin-1")  # as Pillow reads a text


@pytest.mark.parametrize("form", FORMATS)
def test_a_place_is_kept_although_nothing_else_is_known(form: Format) -> None:
    exif = Image.Exif()
    exif.get_ifd(GPS_IFD)[1] = "N"
    assert kept(form, exif).get_ifd(GPS_IFD) == {1: "N"}


@pytest.mark.parametrize("form", FORMATS)
def test_a_result_has_no_directory_that_is_empty(form: Format) -> None:
    exif = Image.Exif()
    exif[MAKE] = "Maker"
    assert {EXIF_IFD, GPS_IFD}.isdisjoint(kept(form, exif))


@pytest.mark.parametrize("form", FORMATS)
def test_a_caption_is_kept_and_the_notes_of_the_program_go_beside_it(form: Format) -> None:
    exif = Image.Exif()
    exif[DESCRIPTION] = "Our house"
    found = kept(form, exif)
    assert found[DESCRIPTION] == "Our house"
    if form != "png":  # which has chunks for them
        assert found.get_ifd(EXIF_IFD)[USER_COMMENT] == b'ASCII\0\0\0{"id": "a"}'


def test_a_blank_caption_is_none_and_a_comment_is_kept() -> None:
    exif = Image.Exif()
    exif[DESCRIPTION] = " " * 31
    assert kept("jpg", exif)[DESCRIPTION] == '{"id": "a"}'
    exif[DESCRIPTION] = "Our house"
    assert kept("jpg", exif)[DESCRIPTION] == "Our house"
    for comment in (b"ASCII\0\0\0in May", "in May", 7):
        exif.get_ifd(EXIF_IFD)[USER_COMMENT] = comment
        assert kept("jpg", exif).get_ifd(EXIF_IFD)[USER_COMMENT] == comment
