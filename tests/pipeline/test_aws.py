import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError

from pipeline.aws import explained
from pipeline.errors import ConflictError, NotFoundError, StoreError, UnavailableError


@pytest.mark.parametrize(
    ("status", "code", "kind", "said"),
    [
        (301, "PermanentRedirect", StoreError, "another region; set AWS_REGION"),
        (301, "301", StoreError, "another region; set AWS_REGION"),
        (400, "AuthorizationHeaderMalformed", StoreError, "another region; set AWS_REGION"),
        (400, "ExpiredToken", StoreError, "credentials have expired; renew them"),
        (403, "AccessDenied", StoreError, "access is denied; the credentials need"),
        (403, "SignatureDoesNotMatch", StoreError, "the secret key is wrong"),
        (404, "NoSuchBucket", StoreError, "there is no such bucket"),
        (404, "NoSuchKey", NotFoundError, "no such object"),
        (412, "PreconditionFailed", ConflictError, "412"),
        (429, "TooManyRequests", UnavailableError, "429"),
        (500, "InternalError", UnavailableError, "500"),
        (503, "SlowDown", UnavailableError, "503 SlowDown"),
    ],
)
def test_an_answer_in_words(status: int, code: str, kind: type[StoreError], said: str) -> None:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = explained("s3://bucket/a", ClientError(answer, "GetObject"))
    assert type(error) is kind
    assert str(error).startswith("s3://bucket/a: ")
    assert said in str(error)


def test_no_answer_in_words() -> None:
    away = explained("s3://bucket/a", ConnectTimeoutError(endpoint_url="https://secret@host"))
    assert isinstance(away, UnavailableError)
    assert str(away) == "s3://bucket/a: the server can't be reached (ConnectTimeoutError)"
    assert "AWS_PROFILE" in str(explained("s3://bucket/a", NoCredentialsError()))
