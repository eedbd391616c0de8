"""How many networks a study trains, how they are related, and which of them are joined by a path."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from testbed.section import Count, Section, Step

PairKind: TypeAlias = Literal["independent", "siblings"]


class EnsembleSpec(Section):
    """Families of siblings: one initialisation and one data order, until each takes its own from `spawn_step` on.

    pairs: `siblings`, all pairs within families; `independent`, `independent_pairs` of those between families, drawn
        without replacement (as many as there are families, or as there are, unless it says otherwise).
    from: files of networks to start from, in place of initial ones, a family each; paths and patterns
        ("checkpoints/*.safetensors") from the study's file: state dicts, or `params` [n_networks, n_parameters] as in a
        run folder's parameters/. `families` is then their number unless it says fewer; training.steps = 0 measures the
        networks as they are.
    rate_factor: the learning rate of sibling k is multiplied by rate_factor^k (one initialisation, different rates).
    """

    families: Count
    start: Annotated[tuple[str, ...] | None, Field(strict=False, alias="from", min_length=1)] = None
    siblings: Count = 2
    rate_factor: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    spawn_step: Step = 0
    pairs: Annotated[tuple[PairKind, ...], Field(strict=False, min_length=1)] = ("independent", "siblings")
    independent_pairs: Count | None = None

    @property
    def n_networks(self) -> int:
        """Networks in one cell."""
        return self.families * self.siblings

    @property
    def n_possible(self) -> int:
        """Pairs between families that there are.

        >>> EnsembleSpec(families=3, siblings=2).n_possible
        12
        """
        return self.families * (self.families - 1) // 2 * self.siblings**2

    @property
    def n_independent(self) -> int:
        """Independent pairs to draw in one cell."""
        if "independent" not in self.pairs:
            return 0
        return self.independent_pairs or max(1, min(self.families, self.n_possible))

    @field_validator("start", mode="before")
    @classmethod
    def _one_is_a_list(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _check(self) -> EnsembleSpec:
        if "siblings" in self.pairs and self.siblings < 2:
            raise ValueError("siblings must be at least 2 when pairs asks for siblings, not 1.")
        if self.n_independent > self.n_possible:
            raise ValueError(
                f"independent_pairs must be at most {self.n_possible}, the pairs between {self.families} families "
                f"of {self.siblings}, not {self.n_independent}."
            )
        if self.independent_pairs and "independent" not in self.pairs:
            raise ValueError("independent_pairs goes with 'independent' in pairs.")
        return self
