"""The settings of the evaluation, as the `report` section of the configuration gives them."""

from __future__ import annotations

from dataclasses import dataclass, field

from pathgptomic.report.metrics import DAYS_PER_MONTH


@dataclass(frozen=True)
class EvaluationSettings:
    """See `config/schemas/report.schema.yaml` for the meaning of each; defaults are the same."""

    horizons_months: tuple[float, ...] = (12, 36, 60)
    follow_up_quantile: float = 0.9
    risk_group_quantiles: tuple[float, ...] = (0.3333, 0.6667)
    calibration_groups: int = 5
    d_calibration_bins: int = 10
    bootstrap: int = 2000
    permutations: int = 100
    alpha: float = 0.05
    power: float = 0.8
    references: dict[str, str] = field(
        default_factory=lambda: {"clinical": "clinical-cox", "late_fusion": "late-fusion"}
    )
    subgroups: tuple[str, ...] = ("stratum",)
    seed: int = 17

    @classmethod
    def from_config(cls, section: dict, *, subgroups: list[str], seed: int) -> EvaluationSettings:
        """Return the settings of a cohort from the `report` section, its subgroup columns and the run's seed."""
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in section.items()}
        return cls(**values, subgroups=tuple(subgroups), seed=seed)

    def horizons(self) -> dict[str, float]:
        """Return the horizons by name, in days: ``{"12m": 365.25, ...}``."""
        return {f"{months:g}m": months * DAYS_PER_MONTH for months in sorted(self.horizons_months)}
