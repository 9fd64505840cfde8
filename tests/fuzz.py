"""Lets a fuzzer think up manifests and image files, for what no list of bad input has.

python -m tests.fuzz (manifest|image) FOLDER [LIBFUZZER OPTIONS]

FOLDER keeps what the fuzzer has found to be of interest, and where it stopped, the input that stopped it.
"""

import sys
import warnings
from pathlib import Path

import atheris
from PIL import Image

with atheris.instrument_imports(include=["PIL", "nst.images", "pipeline.manifest"]):
    from tests.nst import test_hostile_images as images
    from tests.pipeline.manifest import test_any_manifest as manifests

LONGEST = 2**14  # bytes


def main() -> None:
    """Fuzz until the options say that it is enough, or something is not understood."""
    warnings.filterwarnings("ignore", module="PIL")
    what, folder, *options = sys.argv[1:]
    corpus = Path(folder)
    corpus.mkdir(parents=True, exist_ok=True)
    if what == "image":
        for form in set(images.FORMATS) & Image.SAVE.keys():
            (corpus / form).write_bytes(images.saved(form))
    # Bytes become a manifest by way of Hypothesis, as few that come by chance are even JSON.
    manifest = manifests.test_any_damage.hypothesis.fuzz_one_input  # type: ignore[attr-defined]
    understood = {"manifest": manifest, "image": images.assert_decoded_or_rejected}[what]
    settings = [f"-max_len={LONGEST}", f"-artifact_prefix={corpus}/stopped-", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *settings, *options, str(corpus)], understood)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
