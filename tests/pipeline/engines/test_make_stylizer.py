from typing import Any

import pytest
import torch

from nst import Stylizer
from nst.errors import DownloadError, NSTError
from pipeline.engines.stylizer import make_stylizer
from pipeline.errors import UsageError
from pipeline.settings import Settings


def test_a_gpu_that_does_not_work_is_an_error_at_the_start(
    stylizer: Stylizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        device = torch.device("cuda")

        def __init__(self, *_: str) -> None:
            pass

        def stylize(self, *_: Any, **parameters: int) -> None:
            raise RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED")

    monkeypatch.setattr("pipeline.engines.stylizer.Stylizer", Broken)
    with pytest.raises(NSTError, match="the device can't be used: cuDNN error") as caught:
        make_stylizer(Settings())
    assert not isinstance(caught.value, UsageError)


def test_a_gpu_that_works_passes_the_trial(stylizer: Stylizer, monkeypatch: pytest.MonkeyPatch) -> None:
    class Working:
        device = torch.device("cuda")

        def __init__(self, *_: str) -> None:
            self.stylize = stylizer.stylize

    monkeypatch.setattr("pipeline.engines.stylizer.Stylizer", Working)
    assert isinstance(make_stylizer(Settings()), Working)


def test_a_download_that_fails_is_no_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    """After wrong usage, schedulers do not start the program again."""

    def time_out(*_: Any, **__: Any) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", time_out)
    with pytest.raises(DownloadError, match="imagenet: torchvision could not download its VGG19") as caught:
        make_stylizer(Settings(weights="imagenet"))
    assert caught.value.exit_code == 1


def test_weights_that_are_not_there_are_wrong_usage() -> None:
    with pytest.raises(UsageError, match="no such weight file"):
        make_stylizer(Settings(weights="/gone.pth"))
