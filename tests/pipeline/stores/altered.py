"""A boto3 client in which a test replaces some operations, to play a server that misbehaves."""

from collections.abc import Callable
from typing import Any


class Altered:
    """Calls the functions in `operations` by their names, and the client for everything else."""

    def __init__(self, client: Any, **operations: Callable[..., Any]) -> None:
        self.client, self.operations = client, operations

    def __getattr__(self, name: str) -> Any:
        return self.operations.get(name) or getattr(self.client, name)
