"""Clients of AWS and of servers like it, and their errors in a person's words."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import botocore.session
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import (
    ConnectionError as NoConnectionError,
)

from pipeline.errors import ConflictError, NotFoundError, StoreError, UnavailableError, UsageError

_FILES = ("shared-credentials-file", "config-file")  # where botocore finds keys once and for all
_REREAD = 60.0  # seconds after which it is to look there again
_CONNECT_TIMEOUT, _READ_TIMEOUT = 10.0, 60.0  # seconds
_CONNECTIONS = 64  # kept open; leases are renewed by a thread each


def _session() -> boto3.Session:
    """A session for which whoever rotates the keys in a file need not start us anew."""
    core = botocore.session.get_session()
    found = core.get_credentials()
    if found and found.method in _FILES and not isinstance(found, RefreshableCredentials):
        core._credentials = RefreshableCredentials.create_from_metadata(
            _keys_of_file(), _keys_of_file, found.method, advisory_timeout=0, mandatory_timeout=0
        )
    return boto3.Session(botocore_session=core)


def _keys_of_file() -> dict[str, str | None]:
    try:
        found = botocore.session.get_session().get_credentials()
    except BotoCoreError as error:  # the file may be half written
        raise CredentialRetrievalError(provider="file", error_msg=type(error).__name__) from None
    if found is None:
        raise NoCredentialsError
    keys = found.get_frozen_credentials()
    until = datetime.now(UTC) + timedelta(seconds=_REREAD)
    return {
        "access_key": keys.access_key,
        "secret_key": keys.secret_key,
        "token": keys.token,
        "expiry_time": until.isoformat(),
    }


def connect(service: str, endpoint_url: str | None = None, region: str | None = None) -> Any:
    """A client with what `AWS_*` variables, profiles and roles say, as every user of boto3 knows it.

    Raises `UsageError` where they or the URL make no sense.
    """
    config = Config(
        retries={"mode": "standard", "max_attempts": 5},
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=_READ_TIMEOUT,
        max_pool_connections=_CONNECTIONS,
        # Checksums of our own go with every upload; the default ones are unknown to older servers.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if endpoint_url else "auto"},
    )
    try:
        client = _session().client(service, endpoint_url=endpoint_url, region_name=region, config=config)
    except (BotoCoreError, ValueError) as error:
        raise UsageError(f"{service.upper()}: {_reason(error)}") from None
    client.meta.events.register("before-sign.s3.DeleteObjects", _add_md5)
    return client


def content_md5(data: bytes) -> str:
    """The checksum of a request's body that every server knows, as its header has it."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _add_md5(request: AWSRequest, **_: object) -> None:
    # This operation has to have a checksum, and botocore's own choice is unknown to older servers.
    request.headers["Content-MD5"] = content_md5(request.body)


class NotModifiedError(StoreError):
    """The object is what it was."""


# Of the caller, and not of what it asks for; renewed keys and a clock set right will mend it.
_WHO = (CredentialRetrievalError, TokenRetrievalError, SSOError, NoCredentialsError)
_WHO_REASONS = {
    "ExpiredToken": "the credentials have expired; renew them",
    "ExpiredTokenException": "the credentials have expired; renew them",
    "RequestExpired": "the credentials have expired; renew them",
    "InvalidToken": "the credentials have expired; renew them",
    "InvalidClientTokenId": "the access key is unknown there; check the credentials",
    "InvalidAccessKeyId": "the access key is unknown there; check the credentials",
    "SignatureDoesNotMatch": "the secret key is wrong; check the credentials",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
}
_REASONS = {
    "NoSuchBucket": "there is no such bucket",
    "AWS.SimpleQueueService.NonExistentQueue": "there is no such queue",
    "QueueDoesNotExist": "there is no such queue",
    "AccessDenied": "access is denied; the credentials need the permissions that the README lists",
    "403": "access is denied; the credentials need the permissions that the README lists",
    **_WHO_REASONS,
    "PermanentRedirect": "the bucket is in another region; set AWS_REGION",
    "301": "the bucket is in another region; set AWS_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set AWS_REGION",
}


# Codes of faults that pass; some servers send them with status 400.
PASSING = {
    "InternalError",
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
_AWAY = (NoConnectionError, HTTPClientError)  # botocore's own, for what no server has answered


def explained(where: str, error: Exception) -> StoreError:
    """What a call of a client has raised, as a sentence that names no credential."""
    message = f"{where}: {_reason(error)}"
    if not isinstance(error, ClientError):
        return (UnavailableError if isinstance(error, (*_AWAY, *_WHO)) else StoreError)(message)
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status == 304:
        return NotModifiedError(message)
    if status in (409, 412):
        return ConflictError(message)
    if status == 404 and code != "NoSuchBucket":
        return NotFoundError(message)
    # 501: not implemented, and never will be.
    passing = code in PASSING or status in (408, 429) or (status >= 500 and status != 501)
    away = passing or code in _WHO_REASONS
    return (UnavailableError if away else StoreError)(message)


def _reason(error: Exception) -> str:
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", "unknown error"))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status == 404 and code != "NoSuchBucket":
            return "no such object"
        return _REASONS.get(code, f"the server answers {status} {code}")
    if isinstance(error, NoCredentialsError):
        return "no credentials found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if isinstance(error, ProfileNotFound):
        return "AWS_PROFILE names no known profile"
    if isinstance(error, _WHO):
        return f"the credentials can't be renewed ({type(error).__name__}); look at AWS_PROFILE"
    if isinstance(error, _AWAY):
        return f"the server can't be reached ({type(error).__name__})"
    return f"{type(error).__name__}; check the AWS_* variables and --endpoint-url"
