import io
import json
from pathlib import Path

from PIL import Image

from pipeline.engines.encode import thumbnail
from pipeline.engines.prepare import Preparer
from pipeline.stores.opening import Stores
from pipeline.work.job import job_of_file
from tests.conftest import make_picture


def test_thumbnails_of_content_and_style_have_the_same_size(folder: Path) -> None:
    make_picture(256, 200).save(folder / "content.png")
    make_picture(300, 300).save(folder / "style.png")
    (folder / "m.json").write_text(json.dumps({"content": "content.png", "style": "style.png"}))
    job = job_of_file(folder / "m.json", Stores().sources(str(folder)))
    preparer = Preparer("")
    prepared = preparer.prepare(job.pairs[0], preparer.read(job.pairs[0], job.sources))
    shown = [Image.open(io.BytesIO(thumbnail(image))) for image in prepared.thumbnails.values()]
    assert [max(image.size) for image in shown] == [256, 256]


def test_a_style_of_several_pairs_is_decoded_and_resized_once(folder: Path) -> None:
    make_picture(300, 300).save(folder / "content.png")
    make_picture(600, 600).save(folder / "style.png")
    pairs = [{"id": f"{n}", "content": "content.png", "style": "style.png", "seed": n} for n in range(2)]
    (folder / "m.json").write_text(json.dumps({"defaults": {"max_size": 256}, "pairs": pairs}))
    job, preparer = job_of_file(folder / "m.json", Stores().sources(str(folder))), Preparer("")
    (first, _), (second, _) = (
        preparer.prepare(pair, preparer.read(pair, job.sources)).pair.styles[0] for pair in job.pairs
    )
    assert first is second
    assert first.image.size == (256, 256)
