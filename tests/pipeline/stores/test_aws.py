import os
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError

from manifests.demo_s3 import BUCKET, KEYS
from pipeline.errors import ConflictError, NotFoundError, StoreError, UnavailableError, UsageError
from pipeline.stores.aws import connect, explained
from pipeline.stores.s3 import S3Store
from pipeline.timing import Timing


@pytest.mark.parametrize(
    ("status", "code", "kind", "said"),
    [
        (301, "PermanentRedirect", StoreError, "another region; set AWS_DEFAULT_REGION"),
        (301, "301", StoreError, "another region; set AWS_DEFAULT_REGION"),
        (400, "AuthorizationHeaderMalformed", StoreError, "another region; set AWS_DEFAULT_REGION"),
        (400, "ExpiredToken", UnavailableError, "credentials have expired; renew them"),
        (400, "RequestTimeout", UnavailableError, "400 RequestTimeout"),
        (400, "ThrottlingException", UnavailableError, "400 ThrottlingException"),
        (403, "AccessDenied", StoreError, "access is denied; the credentials need"),
        (403, "SignatureDoesNotMatch", UnavailableError, "the secret key is wrong"),
        (404, "NoSuchBucket", StoreError, "there is no such bucket"),
        (404, "NoSuchKey", NotFoundError, "no such object"),
        (408, "408", UnavailableError, "408"),
        (412, "PreconditionFailed", ConflictError, "412"),
        (429, "TooManyRequests", UnavailableError, "429"),
        (500, "InternalError", UnavailableError, "500"),
        (503, "SlowDown", UnavailableError, "503 SlowDown"),
    ],
)
def test_an_error_in_an_answer_is_explained(
    status: int, code: str, kind: type[StoreError], said: str
) -> None:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = explained("s3://bucket/a", ClientError(answer, "GetObject"))
    assert type(error) is kind
    assert str(error).startswith("s3://bucket/a: ")
    assert said in str(error)


def test_a_missing_answer_is_explained() -> None:
    unreachable = explained("s3://bucket/a", ConnectTimeoutError(endpoint_url="https://secret@host"))
    assert isinstance(unreachable, UnavailableError)
    assert str(unreachable) == "s3://bucket/a: the server can't be reached (ConnectTimeoutError)"
    assert "AWS_PROFILE" in str(explained("s3://bucket/a", NoCredentialsError()))


def test_keys_that_change_in_their_file_are_read_again(
    seaweed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))

    def write(secret: str) -> None:
        file.write_text(
            f"[default]\naws_access_key_id = {KEYS['accessKey']}\naws_secret_access_key = {secret}\n"
        )

    write("expired")
    store = S3Store(f"s3://{BUCKET}/{uuid4().hex}", connect("s3", seaweed, timing=Timing(credentials=0.2)))
    with pytest.raises(UnavailableError, match="check the credentials"):
        store.write("a", b"1")
    write(KEYS["secretKey"])
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with suppress(UnavailableError):
            store.write("a", b"1")
            break
    assert store.read("a", 1) == b"1"


@pytest.mark.parametrize(
    ("default", "other", "profile", "expected"),
    [
        ("eu-west-1", "eu-west-2", "eu-west-3", "eu-west-1"),
        ("", "eu-west-2", "eu-west-3", "eu-west-2"),
        ("", "", "eu-west-3", "eu-west-3"),
    ],
)
def test_the_region_comes_from_either_variable_or_the_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, default: str, other: str, profile: str, expected: str
) -> None:
    (tmp_path / "config").write_text(f"[default]\nregion = {profile}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name, value in (("AWS_DEFAULT_REGION", default), ("AWS_REGION", other)):
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    assert connect("s3").meta.region_name == connect("sqs").meta.region_name == expected


def test_a_missing_region_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(UsageError, match=r"^SQS: no region is set; set AWS_DEFAULT_REGION$"):
        connect("sqs")


def test_variables_of_botocore_with_paths_may_begin_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, "~/file")
    connect("s3")
    assert os.environ["AWS_CA_BUNDLE"] == os.environ["AWS_WEB_IDENTITY_TOKEN_FILE"] == f"{tmp_path}/file"
