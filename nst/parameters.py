"""The parameters of one transfer, with their ranges and defaults."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from typing_extensions import TypeAliasType

Pooling = Literal["max", "avg"]
Format = Literal["png", "jpg", "webp", "tiff"]

LAYERS = tuple(
    f"relu{block}_{index}"
    for block, count in enumerate((2, 2, 4, 4, 4), start=1)
    for index in range(1, count + 1)
)
ITERATIONS_PER_EPOCH = 20
# Beyond these, numbers of the search would overflow in fp32 or become 0, and the picture would not change.
_SMALLEST_WEIGHT = 1e-30  # above 0, of a term, of a layer, and of the product of both
_LARGEST_PRODUCT = 1e16
_SMALLEST_SUFFICIENT = 1e-10  # one term at least needs a product this large


def _known_layers(weights: dict[str, float]) -> dict[str, float]:
    # Many programs write `conv4_1` for the activation after the ReLU of that convolution.
    named = {re.sub(r"^conv", "relu", name): weight for name, weight in weights.items()}
    if unknown := [name for name in weights if re.sub(r"^conv", "relu", name) not in LAYERS]:
        raise ValueError(f"no layer {unknown[0][:40]!a}; the layers are relu1_1 to relu5_4")
    if len(named) < len(weights):
        raise ValueError("a layer is named twice")
    if not any(named.values()):
        raise ValueError("at least one layer needs a weight above 0")
    return {name: named[name] for name in LAYERS if named.get(name)}


def integral(value: object) -> object:
    """A number without fraction as an integer. In JSON, 10.0 is one, and some programs write all so."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Integer = Annotated[int, BeforeValidator(integral)]


def _not_tiny(weight: float) -> float:
    if 0 < weight < _SMALLEST_WEIGHT:
        raise ValueError(f"should be 0, or {_SMALLEST_WEIGHT:g} or more")
    return weight


Weight = Annotated[
    float,
    Field(
        ge=0,
        le=1e15,
        json_schema_extra={"not": {"exclusiveMinimum": 0, "exclusiveMaximum": _SMALLEST_WEIGHT}},
    ),
    AfterValidator(_not_tiny),
]


def _not_one(count: int) -> int:
    if count == 1:
        raise ValueError("should be 0 for none, or 2 or more: the start, the result and those between them")
    return count


_MOST_SNAPSHOTS = 60  # of one pair
Snapshots = Annotated[
    int,
    Field(ge=0, le=_MOST_SNAPSHOTS, json_schema_extra={"not": {"const": 1}}),
    BeforeValidator(integral),
    AfterValidator(_not_one),
]
Dpi = Annotated[float, Field(ge=1, le=10_000)]
Strength = Annotated[float, Field(ge=0.01, le=100)]
# In JSON Schema, what has both, which is refused.
BOTH_STRENGTHS: dict[str, Any] = {
    "required": ["strength", "style_weight"],
    "properties": {"strength": {"not": {"type": "null"}}},
}
# A type with a name appears once in the JSON Schema.
LayerWeights = TypeAliasType(
    "LayerWeights",
    Annotated[
        dict[str, Weight],
        Field(
            json_schema_extra={
                "propertyNames": {"pattern": "^(relu|conv)([12]_[12]|[345]_[1-4])$(?!\\n)"},
                "not": {"additionalProperties": {"const": 0}},
                "dependentSchemas": {
                    name.replace("relu", "conv"): {"properties": {name: False}} for name in LAYERS
                },
            }
        ),
        AfterValidator(_known_layers),
    ],
)


class Parameters(BaseModel):
    """Parameters of one transfer."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        json_schema_extra={
            "not": {
                "anyOf": [
                    {
                        "required": ["content_weight", "style_weight"],
                        "properties": {f"{term}_weight": {"const": 0} for term in ("content", "style", "tv")},
                    },
                    BOTH_STRENGTHS,
                ]
            }
        },
    )

    epochs: Integer = Field(10, ge=1, le=1000, description="1 epoch = 20 L-BFGS iterations.")
    tolerance: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="A scale ends once 20 iterations lower the loss by less than this share; 0: never.",
    )
    content_weight: Weight = Field(1.0, description="Weight of the content term.")
    style_weight: Weight = Field(1e6, description="Weight of the style term, unless `strength` is given.")
    strength: Strength | None = Field(
        None,
        description="In place of `style_weight`, the same for styles of any contrast; 1 is balanced.",
        exclude_if=lambda value: value is None,  # as for `snapshots`
    )
    tv_weight: Weight = Field(0.0, description="Weight of the total-variation term.")
    max_size: Integer = Field(
        1024,
        ge=16,
        le=16383,
        description="Long side of the picture in pixels; a smaller content is enlarged only with `enlarge`.",
    )
    enlarge: bool = Field(
        False,
        description="Enlarge a content whose long side is below `max_size`.",
        exclude_if=lambda value: value is False,  # as for `snapshots`
    )
    style_scale: float = Field(
        1.0,
        ge=0.05,
        le=10,
        description="Long side of the style divided by that of the picture; above 1: larger strokes.",
    )
    init: Literal["content", "random"] = Field("content", description="Start from the content or from noise.")
    seed: Integer = Field(0, ge=0, lt=2**63, description="Seed of the noise for `init` = `random`.")
    pooling: Pooling = Field("max", description="Pooling of the network: maximum or average.")
    content_layers: LayerWeights = Field(
        {"relu4_1": 1.0}, description="Weight of each content layer; the layers are relu1_1 to relu5_4."
    )
    style_layers: LayerWeights = Field(
        {f"relu{block}_1": 1.0 for block in range(1, 6)},
        description="Weight of each style layer; the layers are relu1_1 to relu5_4.",
    )
    preserve_color: bool = Field(False, description="Keep the colours of the content.")
    format: Format = Field("png", description="File format of the picture.")
    dpi: Dpi | None = Field(
        None,
        description="Pixels per inch that the file says; without it, those of the content.",
        exclude_if=lambda value: value is None,  # as for `snapshots`
    )
    keep_metadata: bool = Field(
        False, description="Keep the EXIF of the content, such as date, camera, place and copyright."
    )
    snapshots: Snapshots = Field(
        0,
        description="Small pictures of the pair on its way, beside the result: 0 for none, or 2 or more.",
        # So that records of pairs without snapshots are the same, byte for byte, as in earlier versions.
        exclude_if=lambda count: count == 0,
    )

    def with_own(self, own: Mapping[str, Any]) -> "Parameters":
        """These parameters as defaults, and those of a pair, which come first.

        Of `strength` and `style_weight`, the pair's own one counts. Raises pydantic's `ValidationError`.
        """
        values = {**self.model_dump(), **own}
        for name, other in (("strength", "style_weight"), ("style_weight", "strength")):
            if own.get(name) is not None and other not in own:
                values.pop(other, None)
        return Parameters.model_validate(values)

    @model_serializer(mode="wrap")
    def _without_unused_weight(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = serialise(self)
        if self.strength is not None:
            values.pop("style_weight", None)
        return values

    @model_validator(mode="before")
    @classmethod
    def _one_of_strength_and_style_weight(cls, values: object) -> object:
        if isinstance(values, dict) and values.get("strength") is not None and "style_weight" in values:
            raise ValueError("give strength or style_weight, not both")
        return values

    @model_validator(mode="after")
    def _something_to_minimise(self) -> Self:
        content = self._checked_products("content")
        if self.strength is not None:  # the style weight is chosen later, to suit the styles
            return self
        if not (self.content_weight or self.style_weight or self.tv_weight):
            raise ValueError("one of content_weight, style_weight and tv_weight must be above 0")
        if max(self.tv_weight, *content, *self._checked_products("style")) < _SMALLEST_SUFFICIENT:
            raise ValueError(
                "content_weight, style_weight and tv_weight, times the weights of their layers, are all "
                f"below {_SMALLEST_SUFFICIENT:g}; multiply all three by the same large number"
            )
        return self

    def _checked_products(self, term: str) -> list[float]:
        """The weight of a term, `content` or `style`, times those of its layers. Raises `ValueError`."""
        weight: float = getattr(self, f"{term}_weight")
        layers: dict[str, float] = getattr(self, f"{term}_layers")
        for name, factor in layers.items():
            if weight and not _SMALLEST_WEIGHT <= weight * factor <= _LARGEST_PRODUCT:
                raise ValueError(_out_of_range(term, weight, name, factor))
        return [weight * factor for factor in layers.values()]


def _out_of_range(term: str, weight: float, layer: str, factor: float) -> str:
    low = weight * factor < _SMALLEST_WEIGHT
    word, bound, remedy = (
        ("below", _SMALLEST_WEIGHT, "raise one of them, or give 0")
        if low
        else ("above", _LARGEST_PRODUCT, "lower one of them")
    )
    return (
        f"{term}_weight {weight:g}, times the weight {factor:g} of {layer} in {term}_layers, is {word} "
        f"{bound:g}; {remedy}"
    )
