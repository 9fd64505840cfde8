"""Clients of AWS and of compatible servers, and their errors as sentences for a person."""

import base64
import hashlib
import os
from datetime import UTC, datetime, timedelta
from functools import cache, partial
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
    NoRegionError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import (
    ConnectionError as NoConnectionError,
)
from botocore.parsers import ResponseParserError

from pipeline.errors import (
    ConflictError,
    NameRefusedError,
    NotFoundError,
    StoreError,
    UnavailableError,
    UsageError,
)
from pipeline.timing import Timing

# Variables with paths in which botocore does not expand `~`.
_PATHS = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CA_BUNDLE")
_FILES = ("shared-credentials-file", "config-file")  # botocore reads keys from these only once
FAULTS = (BotoCoreError, ClientError, ResponseParserError)  # what the calls of a client raise
_CONNECTIONS = 64  # kept open; each lease has a thread that renews it


def _session(timing: Timing) -> boto3.Session:
    """A session that reads keys in a file again from time to time, because they may be rotated."""
    for variable in _PATHS:
        if (path := os.environ.get(variable, "")).startswith("~"):
            os.environ[variable] = os.path.expanduser(path)
    core = botocore.session.get_session()
    core.register_component("data_loader", _loader())
    # botocore itself does not read AWS_REGION.
    if region := os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION"):
        core.set_config_variable("region", region)
    found = core.get_credentials()
    if found and found.method in _FILES and not isinstance(found, RefreshableCredentials):
        read = partial(_keys_of_file, timing.credentials)
        core._credentials = RefreshableCredentials.create_from_metadata(
            read(), read, found.method, advisory_timeout=0, mandatory_timeout=0
        )
    return boto3.Session(botocore_session=core)


@cache
def _loader() -> Any:
    """What reads the large descriptions of services: one for all sessions, so that each is read once.

    Each session of boto3 adds its folder to the list of those that are searched, which does no harm.
    """
    return botocore.session.get_session().get_component("data_loader")


def _keys_of_file(seconds: float) -> dict[str, str | None]:
    try:
        found = botocore.session.get_session().get_credentials()
    except BotoCoreError as error:  # the file may be half written
        raise CredentialRetrievalError(provider="file", error_msg=type(error).__name__) from None
    if found is None:
        raise NoCredentialsError
    keys = found.get_frozen_credentials()
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    return {
        "access_key": keys.access_key,
        "secret_key": keys.secret_key,
        "token": keys.token,
        "expiry_time": until.isoformat(),
    }


def connect(
    service: str, endpoint_url: str | None = None, region: str | None = None, timing: Timing = Timing()
) -> Any:
    """boto3's client of a service, with the credentials that boto3 finds by itself.

    The region is `region`, or else `AWS_DEFAULT_REGION`, `AWS_REGION` or that of the profile.
    Raises `UsageError` if these or the URL are not valid.
    """
    config = Config(
        retries={"mode": "standard", "max_attempts": 5},
        connect_timeout=timing.connect_timeout,
        read_timeout=timing.read_timeout,
        max_pool_connections=_CONNECTIONS,
        # Every upload has an MD5 checksum of this module; older servers don't know botocore's default ones.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if endpoint_url else "auto"},
    )
    try:
        client = _session(timing).client(
            service, endpoint_url=endpoint_url, region_name=region, config=config
        )
    except (BotoCoreError, ValueError) as error:
        raise UsageError(f"{service.upper()}: {_reason(error)}") from None
    client.meta.events.register("before-sign.s3.DeleteObjects", _add_md5)
    return client


def content_md5(data: bytes) -> str:
    """The value of a request's Content-MD5 header, a checksum that every server knows."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _add_md5(request: AWSRequest, **_: object) -> None:
    # This operation needs a checksum, and older servers don't know the one that botocore chooses.
    request.headers["Content-MD5"] = content_md5(request.body)


class NotModifiedError(StoreError):
    """The object has not changed since it was read."""


class OutsideError(StoreError):
    """The range that was asked for begins behind the last byte of the object."""


# Faults of the caller's credentials or clock, not of the request. They end when these are corrected.
_CREDENTIALS = (CredentialRetrievalError, TokenRetrievalError, SSOError, NoCredentialsError)
_CREDENTIALS_REASONS = {
    "ExpiredToken": "the credentials have expired; renew them",
    "ExpiredTokenException": "the credentials have expired; renew them",
    "RequestExpired": "the credentials have expired; renew them",
    "InvalidToken": "the credentials have expired; renew them",
    "InvalidClientTokenId": "the access key is unknown there; check the credentials",
    "InvalidAccessKeyId": "the access key is unknown there; check the credentials",
    "SignatureDoesNotMatch": "the secret key is wrong; check the credentials",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
}
# Answers to a key that the server cannot hold.
_NAME_REASONS = {
    "KeyTooLongError": "the server does not allow this name",
    "XMinioInvalidObjectName": "the server does not allow this name",
}
_REASONS = {
    "NoSuchBucket": "there is no such bucket",
    "AWS.SimpleQueueService.NonExistentQueue": "there is no such queue",
    "QueueDoesNotExist": "there is no such queue",
    "AccessDenied": "access is denied; the credentials need the permissions that docs/deployment.md lists",
    "403": "access is denied; the credentials need the permissions that docs/deployment.md lists",
    **_CREDENTIALS_REASONS,
    **_NAME_REASONS,
    "PermanentRedirect": "the bucket is in another region; set AWS_DEFAULT_REGION",
    "301": "the bucket is in another region; set AWS_DEFAULT_REGION",
    "NotImplemented": "this server lacks what is needed here, such as conditional writes; use another one",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set AWS_DEFAULT_REGION",
}


# Codes of temporary faults; some servers send them with status 400.
TEMPORARY = {
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
_NO_ANSWER = (NoConnectionError, HTTPClientError)  # botocore's own errors, for a missing answer
NO_SERVER = "this is not the answer of such a server; check --endpoint-url, and proxies on the way"


def explained(where: str, error: Exception) -> StoreError:
    """An error that a client's call has raised, as a sentence that contains no credential."""
    message = f"{where}: {_reason(error)}"
    if not isinstance(error, ClientError):
        passing = isinstance(error, (*_NO_ANSWER, *_CREDENTIALS, ResponseParserError))
        return (UnavailableError if passing else StoreError)(message)
    code, status = _code_and_status(error)
    if code in _NAME_REASONS:
        return NameRefusedError(message)
    if status == 304:
        return NotModifiedError(message)
    if status == 416:
        return OutsideError(message)
    if status in (409, 412):
        return ConflictError(message)
    if status == 404 and code != "NoSuchBucket":
        return NotFoundError(message)
    # Not 501, "not implemented", which is permanent.
    temporary = code in TEMPORARY or status in (408, 429) or (status >= 500 and status != 501)
    return (UnavailableError if temporary or code in _CREDENTIALS_REASONS else StoreError)(message)


def _code_and_status(error: ClientError) -> tuple[str, int]:
    """The code of an answer, empty if it has none, and its status of HTTP, or 0."""
    response = error.response
    code = str(response.get("Error", {}).get("Code", ""))
    return code, response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def _reason(error: Exception) -> str:
    if isinstance(error, ClientError):
        code, status = _code_and_status(error)
        if status == 404 and code != "NoSuchBucket":
            return "no such object"
        # To whom may not list the bucket, AWS does not say that an object is missing.
        missing = status == 403 and error.operation_name in ("GetObject", "HeadObject")
        hint = "; without s3:ListBucket, a missing object gives this answer, too" if missing else ""
        return _REASONS.get(code, f"the server answers {status} {code or 'unknown error'}") + hint
    if isinstance(error, NoCredentialsError):
        return "no credentials found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if isinstance(error, NoRegionError):
        return "no region is set; set AWS_DEFAULT_REGION"
    if isinstance(error, ProfileNotFound):
        return "AWS_PROFILE names no known profile"
    if isinstance(error, _CREDENTIALS):
        return f"the credentials can't be renewed ({type(error).__name__}); check AWS_PROFILE"
    if isinstance(error, ResponseParserError):
        return NO_SERVER
    if isinstance(error, _NO_ANSWER):
        return f"the server can't be reached ({type(error).__name__})"
    return f"{type(error).__name__}; check the AWS_* variables and --endpoint-url"
