"""Lists that are answered in parts."""

from urllib.parse import quote, urlencode

from fastapi import Request


def address_after(request: Request, last: str) -> str:
    """The address, without the server, of what follows the entry `last` of the list of a request."""
    # The path of a scope is decoded, so that the address of the request cannot be used as it is.
    return f"{quote(request.scope['path'])}?{urlencode({**request.query_params, 'after': last})}"
