"""What the models can be told.

No torch is imported here, so that a command line can print its help and choose
its threads before torch starts its pool.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from flatline.errors import SettingsError
from flatline.layers.names import AdaptiveNormName, HeadVariant, PatchPooling, TokenNormName
from flatline.section import Section, nearest

__all__ = [
    "ApexSettings",
    "AtftGatFanSettings",
    "ModelSettings",
    "PatchTSTSettings",
    "check_model_settings",
]


class AtftGatFanSettings(Section):
    """Settings of `AtftGatFan`.

    Raises:
        SettingsError: A key is unknown, a value is out of range, or would change nothing.

    Example:
        >>> AtftGatFanSettings(hidden=256).hidden
        256
    """

    name: Literal["atft_gat_fan"] = Field("atft_gat_fan", description="Which architecture.")
    hidden: int = Field(64, ge=1, description="Length of a stock's state; 256 is the large size.")
    variable_width: int = Field(16, ge=1, description="Length of each feature's own vector.")
    attention_heads: int = Field(4, ge=1, description="Heads of the attention over the lookback.")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of inner units and edges set to 0 in training."
    )
    bypass_adaptive_norm: bool = Field(
        default=False, description="Leave the windows as they are: no adaptive normalisation."
    )
    adaptive_norm: AdaptiveNormName = Field(
        "fan_san", description="What is taken out of the windows: fan, san, fan_san or revin."
    )
    fan_top_k: int = Field(2, ge=1, description="Frequencies of each window that FAN takes out.")
    san_slices: int = Field(4, ge=1, description="Slices of a window that SAN standardises.")
    bypass_gat: bool = Field(default=False, description="No graph branch: edges are not read.")
    gat_heads: int = Field(4, ge=1, description="Heads of the graph attention.")
    gat_init_scale: float = Field(
        3.0, gt=0, description="Factor on the graph's columns of the fusion at the start."
    )
    gat_residual_gate: float = Field(
        0.5, gt=0, lt=1, description="Share of the fused state beside the temporal one at start."
    )
    head_variant: HeadVariant = Field(
        "gated", description="gated: a gated network per horizon; apex: one linear map each."
    )
    head_init_std: float = Field(
        0.05, gt=0, description="Standard deviation of the heads' last weights at the start."
    )
    head_layer_scale: float = Field(
        1.0, gt=0, description="Factor on the heads' outputs at the start."
    )
    head_use_layernorm: bool = Field(
        default=False, description="Normalise the state before the heads."
    )

    @model_validator(mode="after")
    def _each_counts(self) -> Self:
        self.refuse_idle(
            "gat_heads",
            "gat_init_scale",
            "gat_residual_gate",
            unless=not self.bypass_gat,
            because="bypass_gat leaves the graph branch out. Drop one of them",
        )
        self.refuse_idle(
            "adaptive_norm",
            "fan_top_k",
            "san_slices",
            unless=not self.bypass_adaptive_norm,
            because="bypass_adaptive_norm leaves adaptive normalisation out. Drop one of them",
        )
        for name, norms in (("fan_top_k", {"fan", "fan_san"}), ("san_slices", {"san", "fan_san"})):
            self.refuse_idle(
                name,
                unless=self.adaptive_norm in norms,
                because=f"adaptive_norm is {self.adaptive_norm!r}. Drop one of them",
            )
        return self

    @property
    def reads_graph(self) -> bool:
        """Whether edges change the scores."""
        return not self.bypass_gat

    @property
    def gives_quantiles(self) -> bool:
        """Whether the model has quantile heads where levels are given."""
        return True


class PatchTSTSettings(Section):
    """Settings of `PatchTST`.

    Raises:
        SettingsError: A key is unknown, a value is out of range, or would change nothing.

    Example:
        >>> PatchTSTSettings(depth=48).depth
        48
    """

    name: Literal["patchtst"] = Field("patchtst", description="Which architecture.")
    task: Literal["regression", "classification", "ranking"] = Field(
        "regression",
        description="regression: points and quantiles; classification: logits; "
        "ranking: scores whose level means nothing.",
    )
    hidden: int = Field(32, ge=1, description="Length of a patch's state.")
    depth: int = Field(3, ge=2, le=48, description="Layers of the encoder.")
    attention_heads: int = Field(4, ge=1, description="Heads of the attention over the patches.")
    feed_forward: int = Field(64, ge=1, description="Length of the feed-forward inner layers.")
    patch_length: int = Field(5, ge=1, description="Steps of a patch.")
    stride: int = Field(5, ge=1, description="Steps from one patch to the next.")
    norm: TokenNormName = Field(
        "batch", description="batch: over all patches of a batch; layer: within each patch."
    )
    pre_norm: bool = Field(
        default=True, description="Normalise the input of each branch, not branch plus skip."
    )
    pooling: PatchPooling = Field(
        "flatten", description="Patches before the heads: side by side (flatten), mean or max."
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of inner units set to 0 in training."
    )

    @property
    def reads_graph(self) -> bool:
        """Whether edges change the scores."""
        return False

    @property
    def gives_quantiles(self) -> bool:
        """Whether the model has quantile heads where levels are given."""
        return self.task == "regression"


class ApexSettings(Section):
    """Settings of `Apex`.

    Raises:
        SettingsError: A key is unknown, a value is out of range, or would change nothing.

    Example:
        >>> ApexSettings().hidden
        16
    """

    name: Literal["apex"] = Field("apex", description="Which architecture.")
    hidden: int = Field(16, ge=1, description="Length of a patch's state.")
    attention_heads: int = Field(2, ge=1, description="Heads of the attention over the patches.")
    patch_length: int = Field(5, ge=1, description="Steps of a patch.")
    stride: int = Field(5, ge=1, description="Steps from one patch to the next.")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of inner units set to 0 in training."
    )

    @property
    def reads_graph(self) -> bool:
        """Whether edges change the scores."""
        return False

    @property
    def gives_quantiles(self) -> bool:
        """Whether the model has quantile heads where levels are given."""
        return False


_SECTIONS: Mapping[str, type[Section]] = {
    "atft_gat_fan": AtftGatFanSettings,
    "patchtst": PatchTSTSettings,
    "apex": ApexSettings,
}


def check_model_settings(value: Any) -> Any:  # noqa: ANN401 (whatever pydantic is given)
    """The section of the architecture that a mapping names; ATFT-GAT-FAN where it names none.

    Raises:
        SettingsError: There is no such architecture, or its section refuses a value.
    """
    if not isinstance(value, Mapping):
        return value
    name = value.get("name", "atft_gat_fan")
    if name not in _SECTIONS:
        raise SettingsError(
            f"name is {name!r}, expected one of {sorted(_SECTIONS)}. "
            f"{nearest(str(name), _SECTIONS)}"
        )
    return _SECTIONS[name](**value)


# One architecture's settings, by the name among them.
ModelSettings = Annotated[
    AtftGatFanSettings | PatchTSTSettings | ApexSettings, BeforeValidator(check_model_settings)
]
