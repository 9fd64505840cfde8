"""Settings of the operator, from flags or, for a flag that is not given, from NST_* variables."""

import os
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pipeline.errors import UsageError


@dataclass(frozen=True)
class Caps:
    """What one manifest may ask for; a manifest that asks for more is refused.

    Each number is at least 1. By default there are only the limits of the format.
    """

    pairs: int = 2**31
    max_size: int = 2**31  # pixels of the long side
    epochs: int = 2**31
    pixels: int = 2**28  # of an image that is decoded


_Cap = Annotated[int, Field(ge=1, le=2**31)]
_PORT = 5002  # of the door


class Settings(BaseSettings):
    """All settings. The variable `NST_OUTBOX` corresponds to the flag `--outbox`, and so on.

    Variables without a flag are those of the caps: `NST_MOST_PAIRS`, `NST_MOST_SIZE`, `NST_MOST_EPOCHS`,
    `NST_MOST_PIXELS`; and `NST_WAIT` and `NST_MOST_WAITING` of `serve`.
    """

    model_config = SettingsConfigDict(env_prefix="NST_", extra="ignore", env_ignore_empty=True)

    inbox: str | None = None
    outbox: str | None = None
    allow: Annotated[list[str], NoDecode] = Field(default=[])
    queue: str | None = None
    endpoint_url: str | None = None
    weights: str = "embedded"
    device: str = "auto"
    dtype: str = "auto"
    memory: Annotated[float, Field(ge=2, le=1e6, allow_inf_nan=False)] | None = None  # GB
    engine: Literal["local", "ray"] = "local"
    ray_address: str | None = None  # of a cluster; without it, RAY_ADDRESS counts
    poll: bool = False
    alone: bool = False
    metrics_file: str | None = None
    metrics_port: str | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = _PORT
    token_file: str | None = None
    trust_network: bool = False
    max_upload: Annotated[int, Field(ge=1, le=1024)] = 64  # MiB
    no_work: bool = False
    # Of the door, without flags.
    wait: Annotated[float, Field(ge=0, le=86400)] = 600  # seconds that a request waits for its picture
    most_waiting: _Cap = 1000  # manifests, above which the door takes no more
    # These have no flags, because they belong to a place and not to one start of the program.
    most_pairs: _Cap = Caps.pairs
    most_size: _Cap = Caps.max_size
    most_epochs: _Cap = Caps.epochs
    most_pixels: _Cap = Caps.pixels

    @property
    def caps(self) -> Caps:
        """What one manifest may ask for."""
        return Caps(self.most_pairs, self.most_size, self.most_epochs, self.most_pixels)

    @property
    def ray_cluster(self) -> str | None:
        """The address of the Ray cluster to join; none if one is to be started here."""
        address = self.ray_address or os.environ.get("RAY_ADDRESS")
        # Ray itself takes `local` for a cluster that it starts.
        return None if address in ("", "local") else address

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """Host and port at which metrics are served, if they are."""
        if self.metrics_port is None:
            return None
        host, _, port = self.metrics_port.rpartition(":")
        return host.strip("[]") or "127.0.0.1", int(port)

    @field_validator("metrics_port")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        # Kubernetes sets NST_METRICS_PORT to such a URL beside a service that is called nst-metrics.
        if not value or value.startswith("tcp://"):
            return None
        found = re.fullmatch(r"((?:[\w.-]+|\[[\w.:]+\]):)?(\d{1,5})", value, re.ASCII)
        if not found or int(found[2]) >= 2**16:
            raise ValueError("should be PORT or HOST:PORT, as in 9464 or 0.0.0.0:9464")
        return value

    @field_validator("port", mode="before")
    @classmethod
    def _not_of_kubernetes(cls, value: object) -> object:
        # Kubernetes sets NST_PORT to such a URL in every container beside a service that is called nst.
        return _PORT if isinstance(value, str) and value.startswith("tcp://") else value

    @field_validator("inbox", "outbox", "weights", "metrics_file", "token_file")
    @classmethod
    def _expand(cls, value: str | None) -> str | None:
        return value and home_expanded(value)

    @field_validator("allow", mode="before")
    @classmethod
    def _split(cls, value: str | list[str]) -> list[str]:
        # Colons separate places, except the colon of `s3://`.
        parts = re.split(f"{os.pathsep}(?!//)", value) if isinstance(value, str) else value
        return [home_expanded(str(part)) for part in parts if part]

    @field_validator("allow")
    @classmethod
    def _folders(cls, paths: list[str]) -> list[str]:
        if missing := [path for path in paths if "://" not in path and not os.path.isdir(path)]:
            raise ValueError(f"there is no folder {missing[0]}")
        return paths


def home_expanded(path: str) -> str:
    """The path with its `~` or `~USER` replaced by the home folder. Raises `ValueError` if there is none."""
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        user = expanded.partition("/")[0]
        raise ValueError(f"the home folder of {user} is unknown; write ./{expanded} to mean a file here")
    return expanded


def needed(name: str, url: str | None) -> str:
    """The URL of an inbox or outbox. Raises `UsageError` if the operator gave none."""
    if not url:
        raise UsageError(f"which {name}? give --{name} FOLDER or set NST_{name.upper()}")
    return url


def load_settings(**flags: Any) -> Settings:
    """Settings from the environment, replaced by the flags that are given. Raises `UsageError`."""
    given = {
        name: value for name, value in flags.items() if value not in (None, [], ()) and value is not False
    }
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        place = f"--{name.replace('_', '-')}" if name in given else f"NST_{name.upper()}"
        message = re.sub("^Value error, |^Input (?=should)", "", str(first["msg"]))
        raise UsageError(f"{place}: {message}; found {first['input']!r}") from None


def shown_address(host: str, port: int) -> str:
    """Host and port as in a URL: an IPv6 address has brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
