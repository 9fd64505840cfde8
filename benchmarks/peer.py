"""Runs the program `pastiche` with the same objective as ours, for comparison."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from benchmarks.pictures import Snapshot
from nst.parameters import ITERATIONS_PER_EPOCH

_LEVELS = 57.63  # 8-bit levels in one unit of ImageNet-normalised input; the inputs of pastiche are in levels
_EVERY = 10  # steps


def stylize(content: Image.Image, style: Image.Image, epochs: int) -> list[Snapshot]:
    """The pictures of pastiche after every tenth step. The time of its start is not counted.

    An epoch has 20 steps.
    """
    style_weights = [1e6 / (channels**2 * _LEVELS**4) for channels in (64, 128, 256, 512, 512)]
    with TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("content.png", "style.png", "result.png")]
        content.save(paths[0])
        style.save(paths[1])
        command = [str(Path(sys.executable).parent / "pastiche"), "--device", "cpu"]
        command += ["--content", paths[0], "--styles", paths[1], "--output", paths[2]]
        command += ["--size", str(max(content.size)), "--style-size", str(max(style.size))]
        command += ["--content-layers", "block4_relu1", "--content-layer-weights", str(1 / _LEVELS**2)]
        command += ["--style-layer-weights", *map(str, style_weights), "--style-weights", "1"]
        command += ["--num-steps", str(ITERATIONS_PER_EPOCH * epochs)]
        command += ["--workspace", folder, "--workspace-step", str(_EVERY), "--workspace-prefix", "step"]
        subprocess.run(command, check=True, capture_output=True)
        written = sorted((path.stat().st_mtime, path) for path in Path(folder).glob("step*"))
        first = written[0][0]  # written before its first step
        return [Snapshot(time - first, _load_picture(path)) for time, path in written]


def _load_picture(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")
