"""Manifests: what a JSON document may say, what is wrong with one, and the pairs it stands for."""

import difflib
import hashlib
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
from pipeline.document import MAX_BYTES, cut, load_object, shown
from pipeline.errors import ManifestError, Problem, StoreError, printable

__all__ = ["MAX_BYTES", "Manifest", "Pair", "expand", "json_schema", "parse"]
_SINGLE_KEYS = ("content", "style", "styles")
_NOT_IN_NAMES = r'[/\\<>:"|?*\x00-\x1f\x7f]'
_PLAIN_NAME = r'^(?![. ])[^/\\<>:"|?*\x00-\x1f\x7f]*[^. /\\<>:"|?*\x00-\x1f\x7f]$'
_LONGEST_NAME = 180  # bytes; what we append must fit into 255


def _plain_file_name(name: str) -> str:
    if name.startswith((".", " ")) or name.endswith((".", " ")):
        raise ValueError("an id must not begin or end with a dot or a space")
    if re.search(_NOT_IN_NAMES, name) or not name.isprintable():
        raise ValueError('an id is a plain file name, without / \\ < > : " | ? * or control characters')
    if len(name.encode()) > _LONGEST_NAME:
        raise ValueError(f"an id must not be longer than {_LONGEST_NAME} bytes")
    return name


Id = Annotated[
    str, Field(min_length=1, json_schema_extra={"pattern": _PLAIN_NAME}), AfterValidator(_plain_file_name)
]
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

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["pairs"], "properties": {"pairs": {"minItems": 1}}},
                {"required": ["product"], "properties": {"product": {"not": {"type": "null"}}}},
            ]
        }
    )

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
        return Manifest.model_validate(document)
    except ValidationError as error:
        problems = [_problem(dict(details), single) for details in error.errors()]
        raise ManifestError(problems) from None


def expand(manifest: Manifest, glob: Callable[[str], list[str]]) -> list[Pair]:
    """All pairs of a manifest, in its order; `glob` lists the images that a pattern stands for.

    Raises `ManifestError` for patterns that match nothing and for pairs named twice.
    """
    pairs = [_pair_of(entry, index, manifest.defaults) for index, entry in enumerate(manifest.pairs)]
    listed = {
        (pair.content, pair.styles) for pair in pairs if not pair.id and pair.parameters == manifest.defaults
    }
    if manifest.product:
        contents = _matches(manifest.product.content, "product.content", glob)
        styles = _matches(manifest.product.style, "product.style", glob)
        for content in contents:
            for style in styles:
                entry = PairEntry(content=content, style=style)
                pair = _pair_of(entry, None, manifest.defaults)
                # A product that comes upon a pair as `pairs` spells it out does not make it twice.
                if (pair.content, pair.styles) not in listed:
                    pairs.append(pair)
    named = _name(pairs)
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
    message = re.sub("^(Value error, |(Input|String|List) (?=should))", "", message)
    message = _SAID_BETTER.get(kind, message)
    if kind == "value_error" and isinstance(details["input"], dict):
        return Problem(place, message)
    return Problem(place, f"{message}; found {shown(details['input'])}")


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
    found: dict[str, str] = {}
    for index, pattern in enumerate(patterns):
        at = f"{place}[{index}]"
        try:
            matches = glob(pattern) if any(c in pattern for c in "*?[") else [pattern]
        except StoreError as error:
            raise ManifestError([Problem(at, str(error))]) from None
        if not matches:
            raise ManifestError([Problem(at, f"no image matches '{pattern}'")])
        for match in matches:
            if any("\ud800" <= c <= "\udfff" for c in match):
                raise ManifestError([Problem(at, f"the file name '{match}' is not UTF-8; rename it")])
            found.setdefault(str(PurePosixPath(match)), match)
    return list(found.values())


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
    name = (
        "".join(c if c.isprintable() else "_" for c in re.sub(_NOT_IN_NAMES, "_", name)).strip(". ") or "pair"
    )
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
            # A product has no place for an id.
            at, other = (other, pair) if pair.place == "product" else (pair, other)
            message = f"'{pair.id}' is named twice, here and in {other.place}; give one another 'id'"
            problems.append(Problem(f"{at.place}.id", message, pair.id))
    return problems
