"""Errors as answers: `application/problem+json`, as RFC 9457 describes it."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from pydantic import BaseModel, Field
from starlette.responses import Response

from nst.errors import ImageError, NSTError
from pipeline.errors import (
    ConflictError,
    ManifestError,
    NameRefusedError,
    NotFoundError,
    Problem,
    StoreError,
    TooLargeError,
    printable,
)

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5  # of `Retry-After`, for what may be over soon


class Fault(BaseModel):
    """One error in a manifest or a form, with its place there."""

    place: str = Field("", description="Where it is, such as `pairs[3].epochs`; empty for the whole.")
    message: str = Field(description="What is wrong, and what to do.")
    id: str = Field("", description="The pair, if the error belongs to one.")


class ProblemDetails(BaseModel):
    """Why a request was refused."""

    type: str = "about:blank"
    title: str = Field(description="The phrase of the status code.")
    status: int
    detail: str = Field(description="What is wrong, and what to do, as one sentence.")
    errors: list[Fault] = Field([], description="Each error, where there are several or they have places.")


class RefusedError(NSTError):
    """A request is refused with a status code of HTTP."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[Problem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.errors, self.headers = status, errors, dict(headers or {})


def retry_later(status: int, detail: str, seconds: int = RETRY_SECONDS) -> RefusedError:
    """A refusal that is over soon: the client should send the same request again after so many seconds."""
    return RefusedError(status, detail, headers={"Retry-After": str(seconds)})


def faults(problems: Sequence[Problem]) -> list[Fault]:
    """Problems of a manifest, as the parts of an answer."""
    return [Fault(**problem.to_json()) for problem in problems]


def problem_response(refused: RefusedError) -> Response:
    """The answer to a request that is refused."""
    details = ProblemDetails(
        title=HTTPStatus(refused.status).phrase,
        status=refused.status,
        detail=printable(str(refused)),
        errors=faults(refused.errors),
    )
    text = details.model_dump_json(exclude_defaults=True, exclude={"type"})
    return Response(text, refused.status, {"Cache-Control": "no-store", **refused.headers}, MEDIA_TYPE)


def refused_by(error: NSTError) -> RefusedError:
    """What an error of the program means to a client."""
    match error:
        case RefusedError():
            return error
        case ManifestError():
            return RefusedError(422, f"the manifest is not valid: {error}", error.problems)
        case ImageError() | NameRefusedError():
            return RefusedError(422, str(error))
        case NotFoundError():
            return RefusedError(404, str(error))
        case TooLargeError():
            return RefusedError(413, str(error))
        case ConflictError():
            return RefusedError(409, str(error))
        case StoreError():
            # A missing permission, for example: the same request works once somebody has corrected it.
            return retry_later(503, str(error))
    return RefusedError(500, str(error))
