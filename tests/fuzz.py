"""Tests manifests and image files that a fuzzer generates, to find bad input that the other tests lack.

python -m tests.fuzz (manifest|image) FOLDER [LIBFUZZER OPTIONS]

FOLDER keeps the inputs that reach new code, and the input at which the fuzzer stopped, if it did.
"""

import sys
import warnings
from pathlib import Path

import atheris
from PIL import Image

with atheris.instrument_imports(
    include=["PIL", "nst.decoding", "nst.images", "nst.metadata", "pipeline.manifest"]
):
    from tests.nst import test_hostile_images as images
    from tests.pipeline.manifest import test_any_manifest as manifests

LONGEST = 2**14  # bytes


def main() -> None:
    """Fuzz until a limit in the options is reached or an input raises an unexpected exception."""
    warnings.filterwarnings("ignore", module="PIL")
    what, folder, *options = sys.argv[1:]
    corpus = Path(folder)
    corpus.mkdir(parents=True, exist_ok=True)
    if what == "image":
        for form in set(images.FORMATS) & Image.SAVE.keys():
            (corpus / form).write_bytes(images.saved(form))
        for name, data in images.SPECIAL.items():
            (corpus / name).write_bytes(data)
    # Hypothesis makes a manifest from the fuzzer's bytes, because random bytes are rarely valid JSON.
    manifest = manifests.test_any_damaged_manifest_is_expanded_or_refused.hypothesis.fuzz_one_input  # type: ignore[attr-defined]
    target = {"manifest": manifest, "image": images.assert_decoded_or_rejected}[what]
    settings = [f"-max_len={LONGEST}", f"-artifact_prefix={corpus}/stopped-", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *settings, *options, str(corpus)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
