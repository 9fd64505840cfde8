"""The parameters of one transfer, with their ranges and defaults."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Pooling = Literal["max", "avg"]
Format = Literal["png", "jpg", "webp"]

LAYERS = tuple(
    f"relu{block}_{index}"
    for block, count in enumerate((2, 2, 4, 4, 4), start=1)
    for index in range(1, count + 1)
)
ITERATIONS_PER_EPOCH = 20


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


Weight = Annotated[float, Field(ge=0, le=1e15)]
LayerWeights = Annotated[dict[str, Weight], AfterValidator(_known_layers)]


class Parameters(BaseModel):
    """Parameters of one transfer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    epochs: int = Field(10, ge=1, le=1000, description="1 epoch = 20 L-BFGS iterations.")
    tolerance: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="A scale ends once 20 iterations lower the loss by less than this share; 0: never.",
    )
    content_weight: Weight = Field(1.0, description="Weight of the content term.")
    style_weight: Weight = Field(1e6, description="Weight of the style term.")
    tv_weight: Weight = Field(0.0, description="Weight of the total-variation term.")
    max_size: int = Field(
        1024,
        ge=16,
        le=16383,
        description="Long side of the picture in pixels; the content is never enlarged.",
    )
    style_scale: float = Field(
        1.0,
        ge=0.05,
        le=10,
        description="Long side of the style divided by that of the picture; above 1: larger strokes.",
    )
    init: Literal["content", "random"] = Field("content", description="Start from the content or from noise.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the noise for `init` = `random`.")
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
    keep_metadata: bool = Field(
        False, description="Keep the EXIF of the content, such as date, camera, place and copyright."
    )

    @model_validator(mode="after")
    def _something_to_minimise(self) -> Self:
        if not (self.content_weight or self.style_weight or self.tv_weight):
            raise ValueError("one of content_weight, style_weight and tv_weight must be above 0")
        return self
