import io
import json
from pathlib import Path

from PIL import Image

from pipeline.fetch import Fetcher, thumbnail
from pipeline.job import job_of_file
from tests.conftest import make_picture


def test_the_page_shows_the_content_as_large_as_the_style(folder: Path) -> None:
    make_picture(256, 200).save(folder / "content.png")
    make_picture(300, 300).save(folder / "style.png")
    (folder / "m.json").write_text(json.dumps({"content": "content.png", "style": "style.png"}))
    job = job_of_file(folder / "m.json", [], None)
    fetcher = Fetcher("")
    prepared = fetcher.prepare(job.pairs[0], fetcher.read(job.pairs[0], job.sources))
    shown = [Image.open(io.BytesIO(thumbnail(image))) for image in prepared.thumbnails.values()]
    assert [max(image.size) for image in shown] == [256, 256]
