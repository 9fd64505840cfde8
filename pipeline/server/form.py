"""The form of `POST /stylize`: two or more images, and the parameters of a pair as text fields."""

import difflib
import hashlib
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from nst.parameters import Parameters
from pipeline.errors import Problem
from pipeline.manifest.models import MOST_STYLES
from pipeline.manifest.wording import cut
from pipeline.server.problems import RefusedError
from pipeline.server.uploads import Uploads, media_type, spooling

CONTENT, STYLE, WEIGHTS = "content_image", "style_image", "style_weights"
_MOST_FILES, _MOST_FIELDS = MOST_STYLES + 1, 100
_LONGEST_FIELD = 2**16  # bytes of a text field
_LONGEST_NAME = 60  # characters of the name of a field, in a message
_SCHEMA: Mapping[str, Any] = Parameters.model_json_schema()
_KNOWN = [CONTENT, STYLE, WEIGHTS, *Parameters.model_fields]
_TEXTS = {name for name, schema in _SCHEMA["properties"].items() if schema.get("type") == "string"}


@dataclass
class Submission:
    """What one form has."""

    content: list[UploadFile] = field(default_factory=list)
    styles: list[UploadFile] = field(default_factory=list)
    fields: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    problems: list[Problem] = field(default_factory=list)  # of the form itself

    def parameters(self) -> dict[str, Any]:
        """The parameters, as a manifest has them."""
        return {name: _value(name, texts[0]) for name, texts in self.fields.items() if name != WEIGHTS}

    def weights(self) -> list[Any]:
        """The weights of the styles; empty if there are none. They may be bad, or too few."""
        found: list[Any] = []
        for text in self.fields.get(WEIGHTS, []):
            value = _value(WEIGHTS, text if text.strip().startswith("[") else f"[{text}]")
            found += value if isinstance(value, list) else [value]
        return found

    def digest(self, images: Sequence[bytes]) -> str:
        """The SHA-256 of all that the client has sent, in hexadecimal digits."""
        sums = [hashlib.sha256(image).hexdigest() for image in images]
        return hashlib.sha256(json.dumps([sums, sorted(self.fields.items())]).encode()).hexdigest()


class _Parser(MultiPartParser):
    """Parses a form, and knows whether it has seen the end."""

    whole = False

    def on_end(self) -> None:
        self.whole = True


@asynccontextmanager
async def submission_of(request: Request, uploads: Uploads) -> AsyncIterator[Submission]:
    """Read a form; its files are deleted at the end. Raises `RefusedError` if it is none or is not valid."""
    if media_type(request) != "multipart/form-data":
        raise RefusedError(415, f"send a form with files, as curl does with -F {CONTENT}=@FILE")
    limits = {"max_files": _MOST_FILES, "max_fields": _MOST_FIELDS, "max_part_size": _LONGEST_FIELD}
    async with uploads.counted(request) as parts:
        parser = _Parser(request.headers, parts, **limits)
        parser.stream = _until_end(parser, parser.stream)
        try:
            with spooling():
                form = await parser.parse()
        except MultiPartException as error:
            raise RefusedError(400, f"the form can't be read: {error.message}") from None
        except UnicodeError:  # some codecs raise it for any text
            raise RefusedError(400, "the form can't be read: send it as UTF-8") from None
        try:
            yield _submission(form)
        finally:
            await form.close()


async def _until_end(parser: _Parser, parts: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The parts of a body; raises an error after the last one if the form has no end."""
    async for part in parts:
        yield part
    if not parser.whole:
        raise MultiPartException("it has no end")


def _submission(form: FormData) -> Submission:
    found = Submission()
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            _add_file(found, name, value)
        elif name in (CONTENT, STYLE):
            found.problems.append(Problem(name, f"is text; send a file, with curl as -F {name}=@FILE"))
        else:
            found.fields[name].append(value)
    _check(found)
    if found.problems:
        detail = f"the form is not valid: {'; '.join(map(str, found.problems))}"
        raise RefusedError(422, detail, found.problems)
    return found


def _add_file(found: Submission, name: str, file: UploadFile) -> None:
    if name == CONTENT:
        found.content.append(file)
    elif name == STYLE:
        found.styles.append(file)
    else:
        found.problems.append(
            Problem(cut(name, _LONGEST_NAME), f"no file belongs here; known are {CONTENT} and {STYLE}")
        )


def _check(found: Submission) -> None:
    """Add what is wrong with the form itself to its problems. Values are checked as those of a manifest."""
    if len(found.content) != 1:
        found.problems.append(Problem(CONTENT, f"one file is needed; found {len(found.content)}"))
    if not 1 <= len(found.styles) <= MOST_STYLES:
        count = len(found.styles)
        found.problems.append(Problem(STYLE, f"one to {MOST_STYLES} files are needed; found {count}"))
    for name, texts in found.fields.items():
        if name == WEIGHTS:
            continue
        if name not in Parameters.model_fields:
            near = difflib.get_close_matches(name[:_LONGEST_NAME], _KNOWN, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(_KNOWN)}"
            found.problems.append(Problem(cut(name, _LONGEST_NAME), f"unknown field; {hint}"))
        elif len(texts) > 1:
            found.problems.append(Problem(name, "is given twice"))
    if (weights := found.weights()) and len(weights) != len(found.styles):
        message = f"one weight for each style is needed; found {len(weights)} for {len(found.styles)} styles"
        found.problems.append(Problem(WEIGHTS, message))


def _value(name: str, text: str) -> Any:
    """A text field as the value that a manifest would have: a number, an object, or the text itself."""
    if name in _TEXTS:
        return text
    try:
        value = json.loads(text)
        json.dumps(value, indent=1)  # some values can be read, but are nested too deeply to be written
    except (ValueError, RecursionError):
        return text
    return value


def form_schema() -> dict[str, Any]:
    """The JSON Schema of the form, for OpenAPI."""
    image = {"type": "string", "format": "binary"}
    return {
        "type": "object",
        "required": [CONTENT, STYLE],
        "additionalProperties": False,
        "properties": {
            CONTENT: {**image, "description": "The photograph."},
            STYLE: {
                "type": "array",
                "items": image,
                "minItems": 1,
                "maxItems": MOST_STYLES,
                "description": "The painting, or several: repeat the field.",
            },
            WEIGHTS: {
                "type": "array",
                "items": {"type": "number", "exclusiveMinimum": 0, "maximum": 1e9},
                "description": "Weights of the paintings, in their order: repeat the field, or use commas.",
            },
            **_SCHEMA["properties"],
        },
    }
