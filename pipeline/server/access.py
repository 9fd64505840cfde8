"""Decides which requests are answered, by their Host, their Origin and their token."""

import hmac
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from pipeline.errors import UsageError
from pipeline.server.assets import STATIC
from pipeline.server.problems import RefusedError
from pipeline.settings import Settings

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_SAFE = {"GET", "HEAD"}
# Paths that need no token. The page asks for the token itself.
_PUBLIC = frozenset({"/healthz", "/readyz", "/docs", "/openapi.json", "/", *STATIC})
_SHORTEST_TOKEN = 16  # characters


@dataclass(frozen=True)
class Access:
    """`host` is the address that the operator gave; without a `token`, nobody has to send one."""

    host: str
    token: str | None = None

    def check(self, headers: Headers, method: str, path: str) -> None:
        """Raises `RefusedError` if a request must not be answered."""
        self._check_host(headers)
        self._check_origin(headers, method)
        if self.token is not None and path not in _PUBLIC:
            self._check_token(headers)

    def _check_host(self, headers: Headers) -> None:
        """Refuse a name that another site may have given to this address, to send requests from its pages."""
        hosts = headers.getlist("host")
        name = _name_of(hosts[0]) if len(hosts) == 1 else None
        if name is None:
            raise RefusedError(400, "the request needs one Host header, which is a name or an address")
        # With a token any name will do: pages of other sites do not have the token.
        known = self.token is not None or name in _LOOPBACK or name == self.host.lower()
        everywhere = self.host in ("0.0.0.0", "::", "")
        if not (known or (everywhere and _address(name))):
            raise RefusedError(
                421,
                f"this server does not answer for the host {name!r}; start it with --token-file, so that it "
                "answers for any name, or with --host and that name",
            )

    def _check_origin(self, headers: Headers, method: str) -> None:
        foreign = RefusedError(403, "pages of other sites must not use this server")
        for origin in headers.getlist("origin"):
            scheme, _, host = origin.partition("://")
            if not scheme or host.lower() != headers["host"].lower():
                raise foreign
        # Browsers send this with each request, also where they send no Origin.
        site = headers.get("sec-fetch-site", "none")
        followed = method in _SAFE and headers.get("sec-fetch-mode") == "navigate"
        if site not in ("none", "same-origin") and not followed:
            raise foreign

    def _check_token(self, headers: Headers) -> None:
        assert self.token is not None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(
            given.strip().encode("utf-8", "surrogateescape"), self.token.encode()
        ):
            return
        what = "this is not the token" if scheme else "a token is needed"
        detail = f"{what}; send 'Authorization: Bearer TOKEN' with the token of the operator"
        raise RefusedError(401, detail, headers={"WWW-Authenticate": 'Bearer realm="nst-pipeline"'})


def access_of(settings: Settings) -> Access:
    """The rules that the settings give. Raises `UsageError` if they let in everybody without saying so."""
    token = _token(settings.token_file) if settings.token_file else None
    if token is None and not settings.trust_network and not is_loopback(settings.host):
        raise UsageError(
            f"--host {settings.host} lets other machines in: give --token-file FILE with a token that "
            "clients have to send, or --trust-network if everybody there may use this server"
        )
    return Access(settings.host, token)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    address = _address(host)
    return address.is_loopback if address else host == "localhost"


def _token(file: str) -> str:
    try:
        token = Path(file).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"--token-file {file}: can't be read ({error})") from None
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"--token-file {file}: the token needs at least {_SHORTEST_TOKEN} printable ASCII characters "
            "without spaces; make one with: openssl rand -hex 32"
        )
    return token


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _name_of(host: str) -> str | None:
    """The name in a Host header, without port and brackets; none if it is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host and parts.username is None else None
