"""Manifests: what a JSON document may say, what is wrong with one, and the pairs it stands for."""

import difflib
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from nst.parameters import Parameters
from pipeline.document import MAX_BYTES, cut, load_object, shown
from pipeline.errors import ManifestError, Problem, StoreError, UnavailableError, printable
from pipeline.naming import PLAIN_NAME, complete_names, folded, plain_file_name

__all__ = ["MAX_BYTES", "Manifest", "Pair", "expand", "json_schema", "parse"]
_SINGLE_KEYS = ("content", "style", "styles")


def _no_bool(value: object) -> object:
    if isinstance(value, bool):  # which Python takes for 1
        raise ValueError("should be 1")
    return value


_MOST_PAIRS = 100_000  # of one manifest; so many still fit into memory and onto a page
_MOST_STYLES = 16  # of one pair; each is held in memory whole
_MOST_DEPTHS = 2  # `**` of one pattern; the time to find its matches is a power of their number

Id = Annotated[
    str, Field(min_length=1, json_schema_extra={"pattern": PLAIN_NAME}), AfterValidator(plain_file_name)
]
Version = Annotated[Literal[1], BeforeValidator(_no_bool)]
Reference = Annotated[str, Field(min_length=1, max_length=4096, description="Path relative to the inbox.")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StyleEntry(_Strict):
    """One of several styles."""

    image: Reference
    weight: float = Field(1.0, gt=0, le=1e9, allow_inf_nan=False, description="Its share.")


class PairEntry(Parameters):
    """One content image, one or more styles, and parameters that differ from the defaults."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["style"]}, {"required": ["styles"]}]}
    )

    id: Id | None = Field(None, description="File name of the picture, without extension.")
    content: Reference
    style: Reference | None = Field(None, description="The only style; or else use `styles`.")
    styles: list[StyleEntry] | None = Field(
        None, min_length=1, max_length=_MOST_STYLES, description="Weighted styles."
    )

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

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["pairs"], "properties": {"pairs": {"minItems": 1}}},
                {"required": ["product"], "properties": {"product": {"not": {"type": "null"}}}},
            ]
        }
    )

    version: Version = 1
    schema_: str | None = Field(None, alias="$schema", description="For editors.")
    defaults: Parameters = Field(Parameters(), description="Parameters of every pair.")
    pairs: list[PairEntry] = Field([], max_length=_MOST_PAIRS, description="Pairs one by one.")
    product: Product | None = Field(None, description="Every content with every style.")
    _single: bool = PrivateAttr(False)  # its pair stood at the top level

    @model_validator(mode="after")
    def _some_pair(self) -> Self:
        if not self.pairs and self.product is None:
            raise ValueError("there is no pair; give 'pairs', 'product', or 'content' and 'style'")
        return self


class SinglePair(PairEntry):
    """A manifest of one pair, with its keys at the top level."""

    version: Version = 1
    schema_: str | None = Field(None, alias="$schema", description="For editors.")
    defaults: Parameters = Field(Parameters(), description="As in a manifest of many pairs.")


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
    document = load_object(data)
    single = any(key in document for key in _SINGLE_KEYS) and "pairs" not in document
    if single:
        outer: dict[str, Any] = {
            key: document.pop(key) for key in ("version", "$schema", "defaults") if key in document
        }
        document = {**outer, "pairs": [document]}
    try:
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        problems = [_problem(dict(details), single) for details in error.errors()]
        raise ManifestError(problems) from None
    manifest._single = single
    return manifest


def expand(manifest: Manifest, glob: Callable[[str], list[str]]) -> list[Pair]:
    """All pairs of a manifest, in its order; `glob` lists the images that a pattern stands for.

    Raises `ManifestError` for patterns that match nothing and for pairs named twice.
    """
    pairs = [
        _pair_of(entry, "" if manifest._single else f"pairs[{index}]", manifest.defaults)
        for index, entry in enumerate(manifest.pairs)
    ]
    listed = {
        (pair.content, pair.styles) for pair in pairs if not pair.id and pair.parameters == manifest.defaults
    }
    if manifest.product:
        contents = _matches(manifest.product.content, "product.content", glob)
        styles = _matches(manifest.product.style, "product.style", glob)
        if (count := len(contents) * len(styles)) > _MOST_PAIRS:
            message = f"stands for {count} pairs; at most {_MOST_PAIRS} go into one manifest, so split it"
            raise ManifestError([Problem("product", message)])
        for content in contents:
            for style in styles:
                entry = PairEntry(content=content, style=style)
                pair = _pair_of(entry, "product", manifest.defaults)
                # A product that comes upon a pair as `pairs` spells it out does not make it twice.
                if (pair.content, pair.styles) not in listed:
                    pairs.append(pair)
    images = [[pair.content, *(style.image for style in pair.styles)] for pair in pairs]
    names = complete_names([pair.id for pair in pairs], images)
    named = [pair.model_copy(update={"id": name}) for pair, name in zip(pairs, names, strict=True)]
    if twice := _named_twice(named):
        raise ManifestError(twice)
    return named


_SAID_BETTER = {
    "model_type": "should be an object",
    "dict_type": "should be an object",
    "too_short": "should not be empty",
    "string_too_short": "should not be empty",
    "string_unicode": "should be text; half of a surrogate pair is none",
}


def _problem(details: dict[str, Any], single: bool) -> Problem:
    path, kind, message = details["loc"], details["type"], str(details["msg"])
    if single and path[:2] == ("pairs", 0):
        path = path[2:]
    # pydantic appends this to the place of a mapping's key
    place = _place(tuple(part for part in path if part != "[key]"))
    if kind == "extra_forbidden":
        known = _known_keys(details["loc"])
        if single and len(details["loc"]) == 3:
            known += [key for key in _known_keys(("",)) if key not in ("pairs", "product")]
        near = difflib.get_close_matches(str(path[-1]), known, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
        return Problem(place, f"unknown key; {hint}")
    if kind == "missing":
        return Problem(place, "is missing")
    message = _SAID_BETTER.get(kind, _message(message))
    if kind == "value_error" and isinstance(details["input"], dict):
        return Problem(place, message)
    return Problem(place, f"{message}; found {shown(details['input'])}")


def _message(text: str) -> str:
    return re.sub("^(Value error, |(Input|String|List) (?=should))| after validation, not [0-9]+$", "", text)


def _place(path: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return cut(printable(text.removeprefix(".")), 200)


def _known_keys(path: tuple[int | str, ...]) -> list[str]:
    if path[0] == "defaults":
        return list(Parameters.model_fields)
    if path[0] == "product":
        return list(Product.model_fields)
    if path[0] == "pairs" and len(path) > 1:
        return list((StyleEntry if "styles" in path else PairEntry).model_fields)
    return [field.alias or name for name, field in Manifest.model_fields.items()]


def _pair_of(entry: PairEntry, place: str, defaults: Parameters) -> Pair:
    own = entry.model_dump(exclude_unset=True, include=set(Parameters.model_fields))
    try:
        parameters = Parameters.model_validate({**defaults.model_dump(), **own})
    except ValidationError as error:
        raise ManifestError([Problem(place, _message(error.errors()[0]["msg"]))]) from None
    styles = entry.styles or [StyleEntry(image=str(entry.style))]
    return Pair(
        id=entry.id or "",
        place=place,
        content=entry.content,
        styles=tuple(styles),
        parameters=parameters,
    )


def _matches(patterns: list[str], place: str, glob: Callable[[str], list[str]]) -> list[str]:
    found: dict[str, str] = {}
    for index, pattern in enumerate(patterns):
        at = f"{place}[{index}]"
        if pattern.split("/").count("**") > _MOST_DEPTHS:
            message = f"'**' may stand in a pattern {_MOST_DEPTHS} times; found {shown(pattern)}"
            raise ManifestError([Problem(at, message)])
        try:
            matches = glob(pattern) if any(c in pattern for c in "*?[") else [pattern]
        except UnavailableError:
            raise  # which says nothing about the manifest
        except StoreError as error:
            raise ManifestError([Problem(at, str(error))]) from None
        if not matches:
            raise ManifestError([Problem(at, f"no image matches '{pattern}'")])
        for match in matches:
            if any("\ud800" <= c <= "\udfff" for c in match):
                raise ManifestError([Problem(at, f"the file name '{match}' is not UTF-8; rename it")])
            found.setdefault(str(PurePosixPath(match)), match)
    return list(found.values())


def _named_twice(pairs: list[Pair]) -> list[Problem]:
    first: dict[str, Pair] = {}
    problems = []
    for pair in pairs:
        other = first.setdefault(folded(pair.id), pair)
        if other is not pair:
            # A product has no place for an id.
            at, other = (other, pair) if pair.place == "product" else (pair, other)
            message = f"'{pair.id}' is named twice, here and in {other.place}; give one another 'id'"
            problems.append(Problem(f"{at.place}.id", message, pair.id))
    return problems
