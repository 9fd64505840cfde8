"""Lists that are answered in parts."""

from fastapi import Request


def address_after(request: Request, last: str) -> str:
    """The address, without the server, of what follows the entry `last` of the list of a request."""
    return str(request.url.include_query_params(after=last).replace(scheme="", netloc=""))
