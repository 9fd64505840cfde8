"""Makes a stylizer from settings, and checks that its device works."""

from PIL import Image

from nst.errors import DownloadError, NSTError
from nst.stylizer import Stylizer
from pipeline.errors import UsageError
from pipeline.settings import Settings


def make_stylizer(settings: Settings) -> Stylizer:
    """The stylizer for these settings.

    Raises `UsageError` if the weights, the device or the dtype are not available, and another `NSTError` if
    the weights can't be downloaded now, or if a trial on the GPU fails.
    """
    try:
        stylizer = Stylizer(settings.weights, settings.device, settings.dtype, settings.memory)
        if stylizer.device.type == "cuda":
            # If this fails, every pair of every manifest would fail.
            trial = Image.effect_noise((32, 32), 80)
            stylizer.stylize(trial, trial, epochs=1)
    except DownloadError:
        raise  # another start may succeed, and after a `UsageError` schedulers make none
    except NSTError as error:
        raise UsageError(str(error)) from error
    except RuntimeError as error:
        raise NSTError(f"the device can't be used: {error}") from error
    return stylizer
