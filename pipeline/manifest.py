"""Manifests: what a JSON document may say, what is wrong with one, and the pairs it stands for."""

import difflib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from nst.parameters import Parameters
from pipeline.errors import ManifestError, Problem

MAX_BYTES = 32 * 2**20
_SINGLE_KEYS = ("content", "style", "styles")
_NOT_IN_NAMES = r'[/\\<>:"|?*\x00-\x1f\x7f]'
_LONGEST_NAME = 180  # bytes; what we append must fit into 255


def _plain_file_name(name: str) -> str:
    if name.startswith((".", " ")) or name.endswith((".", " ")):
        raise ValueError("an id must not begin or end with a dot or a space")
    if re.search(_NOT_IN_NAMES, name):
        raise ValueError('an id is a plain file name, without / \\ < > : " | ? * or control characters')
    if len(name.encode()) > _LONGEST_NAME:
        raise ValueError(f"an id must not be longer than {_LONGEST_NAME} bytes")
    return name


Id = Annotated[str, Field(min_length=1), AfterValidator(_plain_file_name)]
Reference = Annotated[str, Field(min_length=1, max_length=4096, description="Path relative to the inbox.")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StyleEntry(_Strict):
    """One of several styles."""

    image: Reference
    weight: float = Field(1.0, gt=0, le=1e9, allow_inf_nan=False, description="Its share.")


class PairEntry(Parameters):
    """One content image, one or more styles, and parameters that differ from the defaults."""

    id: Id | None = Field(None, description="File name of the picture, without extension.")
    content: Reference
    style: Reference | None = Field(None, description="The only style; or else use `styles`.")
    styles: list[StyleEntry] | None = Field(None, min_length=1, description="Weighted styles.")

    @model_validator(mode="after")
    def _one_of_style_and_styles(self) -> Self:
        if (self.style is None) == (self.styles is None):
            raise ValueError("exactly one of 'style' and 'styles' is needed")
        return self


class Product(_Strict):
    """Every content with every style; entries are paths or globs."""

    content: list[Reference] = Field(min_length=1)
    style: list[Reference] = Field(min_length=1)


class Manifest(_Strict):
    """Defaults and one or more pairs."""

    version: Literal[1] = 1
    schema_: str | None = Field(None, alias="$schema", description="For editors.")
    defaults: Parameters = Field(Parameters(), description="Parameters of every pair.")
    pairs: list[PairEntry] = Field([], description="Pairs one by one.")
    product: Product | None = Field(None, description="Every content with every style.")

    @model_validator(mode="after")
    def _some_pair(self) -> Self:
        if not self.pairs and self.product is None:
            raise ValueError("there is no pair; give 'pairs', 'product', or 'content' and 'style'")
        return self


class SinglePair(PairEntry):
    """A manifest of one pair, with its keys at the top level."""

    version: Literal[1] = 1
    schema_: str | None = Field(None, alias="$schema", description="For editors.")


class Pair(_Strict):
    """One pair as it will be worked on; `place` is where the manifest names it."""

    id: str
    place: str
    content: str
    styles: tuple[StyleEntry, ...]
    parameters: Parameters


def json_schema() -> dict[str, Any]:
    """The JSON Schema of version 1, for editors."""
    schema = TypeAdapter(Manifest | SinglePair).json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "nst-pipeline manifest, version 1",
        **schema,
    }


def parse(data: bytes) -> Manifest:
    """Read a manifest from its bytes. Raises `ManifestError` with every problem and its place."""
    document = _load_json(data)
    single = any(key in document for key in _SINGLE_KEYS) and "pairs" not in document
    if single:
        outer: dict[str, Any] = {
            key: document.pop(key) for key in ("version", "$schema", "defaults") if key in document
        }
        document = {**outer, "pairs": [document]}
    try:
        return Manifest.model_validate(document)
    except ValidationError as error:
        problems = [_problem(dict(details), single) for details in error.errors()]
        raise ManifestError(problems) from None


def expand(manifest: Manifest, glob: Callable[[str], list[str]]) -> list[Pair]:
    """All pairs of a manifest, in its order; `glob` lists the images that a pattern stands for.

    Raises `ManifestError` for patterns that match nothing and for pairs named twice.
    """
    pairs = [_pair_of(entry, index, manifest.defaults) for index, entry in enumerate(manifest.pairs)]
    if manifest.product:
        contents = _matches(manifest.product.content, "product.content", glob)
        styles = _matches(manifest.product.style, "product.style", glob)
        for content in contents:
            for style in styles:
                entry = PairEntry(content=content, style=style)
                pairs.append(_pair_of(entry, None, manifest.defaults))
    named = _name(pairs)
    if twice := _named_twice(named):
        raise ManifestError(twice)
    return named


def _load_json(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise _broken(f"larger than {MAX_BYTES >> 20} MiB; split it into several manifests")
    try:
        document = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_unique_keys)
    except UnicodeDecodeError as error:
        raise _broken(f"not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno}"
        raise _broken(f"not valid JSON at {at}: {error.msg}") from None
    except RecursionError:
        raise _broken("nested too deeply to be a manifest") from None
    except ValueError as error:  # numbers of thousands of digits
        raise _broken(f"not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise _broken(f"a manifest is a JSON object; found {_shown(document)}")
    return document


def _broken(message: str) -> ManifestError:
    return ManifestError([Problem("", message)])


def _unique_keys(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) < len(items):
        keys = [key for key, _ in items]
        key = next(key for key in keys if keys.count(key) > 1)
        raise _broken(f"the key {_shown(key)} stands twice in one object")
    return found


def _problem(details: dict[str, Any], single: bool) -> Problem:
    path, kind, message = details["loc"], details["type"], str(details["msg"])
    if single and path[:2] == ("pairs", 0):
        path = path[2:]
    # pydantic appends this to the place of a mapping's key
    place = _place(tuple(part for part in path if part != "[key]"))
    if kind == "extra_forbidden":
        known = _known_keys(details["loc"])
        near = difflib.get_close_matches(str(path[-1]), known, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
        return Problem(place, f"unknown key; {hint}")
    if kind == "missing":
        return Problem(place, "is missing")
    message = message.removeprefix("Value error, ").replace("Input should", "should")
    if kind == "value_error" and isinstance(details["input"], dict):
        return Problem(place, message)
    return Problem(place, f"{message}; found {_shown(details['input'])}")


def _place(path: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return _printable(text.removeprefix("."))


def _known_keys(path: tuple[int | str, ...]) -> list[str]:
    if path[0] == "defaults":
        return list(Parameters.model_fields)
    if path[0] == "product":
        return list(Product.model_fields)
    if path[0] == "pairs" and len(path) > 1:
        return list((StyleEntry if "styles" in path else PairEntry).model_fields)
    return [field.alias or name for name, field in Manifest.model_fields.items()]


def _shown(value: Any) -> str:
    text = _printable(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= 60 else f"{text[:60]}…"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _pair_of(entry: PairEntry, index: int | None, defaults: Parameters) -> Pair:
    own = entry.model_dump(exclude_unset=True, include=set(Parameters.model_fields))
    parameters = defaults.model_copy(update=own)
    styles = entry.styles or [StyleEntry(image=str(entry.style))]
    place = "product" if index is None else f"pairs[{index}]"
    return Pair(
        id=entry.id or "",
        place=place,
        content=entry.content,
        styles=tuple(styles),
        parameters=parameters,
    )


def _matches(patterns: list[str], place: str, glob: Callable[[str], list[str]]) -> list[str]:
    found: dict[str, None] = {}
    for index, pattern in enumerate(patterns):
        matches = glob(pattern) if any(c in pattern for c in "*?[") else [pattern]
        if not matches:
            raise ManifestError([Problem(f"{place}[{index}]", f"no image matches '{pattern}'")])
        found.update(dict.fromkeys(matches))
    return list(found)


def _name(pairs: list[Pair]) -> list[Pair]:
    """Name pairs without an id after their images: by stem, and by whole path where stems are shared."""
    short = [pair.id or _joined(pair, lambda path: path.stem) for pair in pairs]
    count = Counter(name.casefold() for name in short)
    return [
        pair
        if pair.id
        else pair.model_copy(update={"id": name if count[name.casefold()] == 1 else _joined(pair, _whole)})
        for pair, name in zip(pairs, short, strict=True)
    ]


def _joined(pair: Pair, part: Callable[[PurePosixPath], str]) -> str:
    images = [pair.content, *(style.image for style in pair.styles)]
    name = "-".join(part(PurePosixPath(image)) for image in images)
    name = re.sub(_NOT_IN_NAMES, "_", name).strip(". ") or "pair"
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name.encode()[: _LONGEST_NAME - 9].decode(errors='ignore')}-{digest}"


def _whole(path: PurePosixPath) -> str:
    return "_".join(part for part in path.parts if part != "/")


def _named_twice(pairs: list[Pair]) -> list[Problem]:
    first: dict[str, Pair] = {}
    problems = []
    for pair in pairs:
        # Folders on some systems do not tell upper from lower case.
        other = first.setdefault(pair.id.casefold(), pair)
        if other is not pair:
            message = f"'{pair.id}' is named twice, here and in {other.place}; give one another 'id'"
            problems.append(Problem(f"{pair.place}.id", message, pair.id))
    return problems
