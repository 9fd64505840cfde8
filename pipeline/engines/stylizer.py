"""From settings to a stylizer that has been seen working."""

from PIL import Image

from nst.errors import NSTError
from nst.stylizer import Stylizer
from pipeline.errors import UsageError
from pipeline.settings import Settings


def make_stylizer(settings: Settings) -> Stylizer:
    """The stylizer that settings ask for. Raises `UsageError` for what there is not, and `NSTError`."""
    try:
        stylizer = Stylizer(settings.weights, settings.device, settings.dtype)
        if stylizer.device.type == "cuda":
            # What fails here would fail with every pair of every manifest.
            trial = Image.effect_noise((32, 32), 80)
            stylizer.stylize(trial, trial, epochs=1)
    except NSTError as error:
        raise UsageError(str(error)) from error
    except RuntimeError as error:
        raise NSTError(f"the device can't be used: {error}") from error
    return stylizer
