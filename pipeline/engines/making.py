"""Makes the engine that the settings name. Each is imported only when it is needed."""

import os
import secrets

from pipeline.engines.base import Engine
from pipeline.errors import needing
from pipeline.settings import Settings
from pipeline.stores.opening import Stores
from pipeline.timing import Timing


def make_engine(settings: Settings, stores: Stores, timing: Timing) -> Engine:
    """The engine of `Settings.engine`. Raises `UsageError` if its packages are not installed."""
    return (ray_engine if settings.engine == "ray" else local_engine)(settings, stores, timing)


def local_engine(settings: Settings, stores: Stores, timing: Timing) -> Engine:
    """The engine that is this process."""
    # Torch takes seconds to import, and wrong usage should be reported at once.
    from pipeline.engines.local import LocalEngine

    return LocalEngine(settings, stores, timing)


def ray_engine(settings: Settings, stores: Stores, timing: Timing) -> Engine:
    """The engine of actors on a Ray cluster, each of which has a local engine. Raises `UsageError`."""
    if not settings.ray_cluster:
        # Ray reads its token when it is imported. Without one it writes a file into the home folder, which
        # may be read-only.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with needing("ray", ["ray"], "--engine ray needs the extra 'ray', which is not installed"):
        from pipeline.engines.ray import RayEngine
    return RayEngine(settings, stores, timing, local_engine)
