"""The manifest format, version 1, as pydantic models, and its JSON Schema."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    model_validator,
)

from nst.parameters import BOTH_STRENGTHS, Parameters, integral
from pipeline.manifest.names import LONGEST_NAME, PLAIN_NAME, plain_file_name


def _one(value: object) -> object:
    if isinstance(value, bool):  # in Python, True == 1
        raise ValueError("should be 1")
    return 1 if value == 1 else value  # also 1.0


MOST_PAIRS = 100_000  # in one manifest; this many fit into memory
MOST_STYLES = 16  # in one pair; all of them are in memory at the same time

Id = Annotated[
    str,
    Field(min_length=1, json_schema_extra={"pattern": PLAIN_NAME, "maxLength": LONGEST_NAME}),
    AfterValidator(plain_file_name),
]
Version = Annotated[Literal[1], BeforeValidator(_one)]
Priority = Annotated[
    int,
    Field(ge=-100, le=100, description="Manifests of a higher priority are worked on first."),
    BeforeValidator(integral),
]
Reference = Annotated[
    str, Field(min_length=1, max_length=4096, description="Path of an image, or `s3://` URL.")
]

Mask = Annotated[str, Field(min_length=1, max_length=4096)]
_KEEP = "Mask over the content: it stays as it is where the mask is white."


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StyleEntry(_Strict):
    """One of several styles."""

    image: Reference
    region: Mask | None = Field(
        None, description="Mask over the content: the style applies where it is white."
    )
    image_region: Mask | None = Field(
        None, description="Mask over this image: the part of it that is white is meant."
    )
    # In fp32, no share of two such weights becomes 0.
    weight: float = Field(
        1.0, ge=1e-20, le=1e9, allow_inf_nan=False, description="Weight of this style; only the ratios count."
    )


class PairEntry(Parameters):
    """One content image, one or more styles, and parameters that differ from the defaults."""

    model_config = ConfigDict(
        json_schema_extra={
            "not": BOTH_STRENGTHS,
            # A key that is null counts as missing.
            "oneOf": [
                {"required": [key], "properties": {key: {"not": {"type": "null"}}}}
                for key in ("style", "styles")
            ],
        }
    )

    id: Id | None = Field(None, description="File name of the picture, without extension.")
    content: Reference
    style: Reference | None = Field(None, description="The only style image; give this or `styles`.")
    styles: list[StyleEntry] | None = Field(
        None,
        min_length=1,
        max_length=MOST_STYLES,
        description="Several weighted styles; give this or `style`.",
    )

    keep: Mask | None = Field(None, description=_KEEP)

    @model_validator(mode="after")
    def _something_to_minimise(self) -> Self:
        return self  # `expand` checks this for the pair with the defaults of its manifest

    @model_validator(mode="after")
    def _one_of_style_and_styles(self) -> Self:
        if (self.style is None) == (self.styles is None):
            raise ValueError("exactly one of 'style' and 'styles' is needed")
        return self


class Product(_Strict):
    """Every content with every style. Each parameter may be here too, with one value or a list of values.

    A list is a sweep: there is a pair for each of its values, and for each combination of several lists.
    """

    # The other keys are parameters. `parse` checks each of them before it makes a `Product`.
    model_config = ConfigDict(extra="allow")

    content: list[Reference] = Field(
        min_length=1, max_length=MOST_PAIRS, description="Content images: paths or patterns."
    )
    style: list[Reference] = Field(
        min_length=1,
        max_length=MOST_PAIRS,
        description="Style images, for every content: paths or patterns.",
    )
    keep: Mask | None = Field(None, description=_KEEP)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that it gives: one value for all of its pairs, or a list of values."""
        return self.model_extra or {}


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

    version: Version = Field(1, description="Version of the manifest format.")
    schema_: str | None = Field(None, alias="$schema", description="Where an editor finds the JSON Schema.")
    priority: Priority = 0
    defaults: Parameters = Field(
        Parameters(), description="Parameters of every pair, unless the pair gives its own."
    )
    pairs: list[PairEntry] = Field([], max_length=MOST_PAIRS, description="Pairs one by one.")
    product: Product | None = Field(None, description="Every content with every style.")
    _single: bool = PrivateAttr(False)

    @property
    def single(self) -> bool:
        """Whether the keys of its only pair were at the top level of the document."""
        return self._single

    @model_validator(mode="after")
    def _some_pair(self) -> Self:
        if not self.pairs and self.product is None:
            raise ValueError("there is no pair; give 'pairs', 'product', or 'content' and 'style'")
        return self


class SinglePair(PairEntry):
    """A manifest of one pair, with its keys at the top level."""

    version: Version = Field(1, description="Version of the manifest format.")
    schema_: str | None = Field(None, alias="$schema", description="Where an editor finds the JSON Schema.")
    priority: Priority = 0
    defaults: Parameters = Field(Parameters(), description="Parameters, unless given beside them.")


class Pair(_Strict):
    """One pair with all its parameters.

    `place` is its place in the manifest, such as `pairs[3]`; empty for a manifest of one pair.
    """

    id: str
    place: str
    content: str
    styles: tuple[StyleEntry, ...]
    parameters: Parameters
    keep: str | None = None

    @property
    def images(self) -> list[str]:
        """The references of the content and of the styles, and then of all masks, each mask once."""
        masks = [mask for style in self.styles for mask in (style.region, style.image_region)]
        named = dict.fromkeys(mask for mask in (*masks, self.keep) if mask is not None)
        return [self.content, *(style.image for style in self.styles), *named]


def json_schema() -> dict[str, Any]:
    """The JSON Schema of version 1, for editors."""
    schema = TypeAdapter(Manifest | SinglePair).json_schema()
    kinds = schema["$defs"]
    parameters, product = kinds["Parameters"]["properties"], kinds["Product"]
    product["properties"] |= {name: _one_or_several(value) for name, value in parameters.items()}
    product["additionalProperties"] = False
    none = {"not": {"enum": [None, [None]]}}
    product["not"] = BOTH_STRENGTHS | {"properties": {"strength": none}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "nst-pipeline manifest, version 1",
        **schema,
    }


def _one_or_several(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter in `product`: a value, or a list of different values."""
    value = {key: part for key, part in schema.items() if key not in ("default", "description", "title")}
    several = {
        "type": "array",
        "items": value,
        "minItems": 1,
        "maxItems": MOST_PAIRS,
        "uniqueItems": True,
    }
    return {"anyOf": [value, several], "description": schema["description"]}
