"""What the operator chooses: flags, or NST_* environment variables where a flag is not given."""

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pipeline.errors import UsageError


class Settings(BaseSettings):
    """The operator's choices; `NST_OUTBOX` is `--outbox`, and so on."""

    model_config = SettingsConfigDict(env_prefix="NST_", extra="ignore", env_ignore_empty=True)

    inbox: str | None = None
    outbox: str | None = None
    allow: Annotated[list[Path], NoDecode] = Field(default=[])
    weights: str = "embedded"
    device: str = "auto"
    dtype: str = "auto"
    poll: bool = False

    @field_validator("allow", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value

    @field_validator("allow")
    @classmethod
    def _folders(cls, paths: list[Path]) -> list[Path]:
        if missing := [str(path) for path in paths if not path.is_dir()]:
            raise ValueError(f"no such folder as {missing[0]}")
        return paths


def load_settings(**flags: Any) -> Settings:
    """Settings from the flags that are given, over the environment. Raises `UsageError`."""
    given = {name: value for name, value in flags.items() if value not in (None, [], False)}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        message = re.sub("^Value error, |^Input (?=should)", "", str(first["msg"]))
        raise UsageError(f"NST_{name.upper()}: {message}; found {first['input']!r}") from None
