"""Settings of one trained model, as `survival.models.<name>` of config.yaml gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace

from pathgptomic.survival.balance import BalanceSettings

BRANCHES = ("genomics", "slides", "rois", "clinical")


@dataclass(frozen=True)
class Reduction:
    """How many features of a table a network sees; chosen on its own training patients.

    Attributes
    ----------
    variance
        Keep the features of largest variance; 0 keeps all.
    pca
        Then project on the first principal components; 0 leaves the features as they are.
    scale
        Standard deviation that the table's first principal component gets. It says how much a modality is trusted
        before training: with the same steps of its weights, a table of half the scale moves the log-hazard half as far.
    """

    variance: int = 0
    pca: int = 0
    scale: float = 1.0


# What a table is reduced to unless the model says otherwise; chosen by the inner loss on glioma and kidney tables.
# Scales are small beside covariates of standard deviation 1: thousands of features should not outrun a few that count.
REDUCTIONS = {
    "expression": Reduction(pca=64, scale=0.3),
    "cnv": Reduction(pca=16, scale=0.2),
    "mutations": Reduction(scale=0.2),
    "slides": Reduction(scale=0.3),
    "rois": Reduction(scale=0.3),
    "genomics": Reduction(pca=64, scale=0.3),
}


@dataclass(frozen=True)
class NetworkSettings:
    """Layers of the branches and of the fusion; lists are hidden widths, the last one is the output of the part.

    Attributes
    ----------
    snn
        Self-normalising network on copy number and mutations.
    expression
        Self-normalising network on expression or on an adapter's embedding.
    joint
        MLP-B, which joins the two above where a model has both.
    slides
        Perceptron on a patient's pooled instances.
    rois
        Perceptron on the mean features of a patient's regions of interest.
    clinical
        Perceptron on the covariates. Without layers the branch is a linear Cox model, which balance cannot hold back:
        its only weights are those of the head.
    attention
        Width of the instance embedding and of the two gates of attention pooling.
    kronecker
        Width of each gated branch in Kronecker fusion, before the 1 is appended.
    fusion
        Layers on the Kronecker product.
    dropout, input_dropout
        Probability of dropping a hidden unit, or an input feature of a genomic table.
    modality_dropout
        Probability of hiding a whole branch from a training patient for one step; never all of them.
    """

    snn: tuple[int, ...] = (16,)
    expression: tuple[int, ...] = (32,)
    joint: tuple[int, ...] = (16,)
    slides: tuple[int, ...] = (16,)
    rois: tuple[int, ...] = (16,)
    clinical: tuple[int, ...] = (16,)
    attention: int = 32
    kronecker: int = 8
    fusion: tuple[int, ...] = (16,)
    dropout: float = 0.25
    input_dropout: float = 0.5
    modality_dropout: float = 0.0


@dataclass(frozen=True)
class LossSettings:
    """The Cox partial likelihood.

    Attributes
    ----------
    ties
        ``efron`` or ``breslow``.
    risk_set
        ``full``: exact, all training patients in one step. ``batch``: risk sets within mini-batches that hold their
        share of the events.
    batch_size
        Largest number of patients in a mini-batch.
    """

    ties: str = "efron"
    risk_set: str = "full"
    batch_size: int = 32


@dataclass(frozen=True)
class TrainingSettings:
    """How the networks are fitted.

    Attributes
    ----------
    optimiser
        ``adamw`` or ``sgd`` (momentum 0.9).
    learning_rate, weight_decay
        Of the optimiser; the decay is decoupled.
    epochs
        Passes over the training patients, at most.
    early_stopping
        Keep the weights of the epoch with the lowest loss on the inner validation parts, one epoch for each fold and
        seed; else those of the last epoch.
    patience
        Stop after so many epochs without a lower inner loss.
    amp
        Half precision (bfloat16) on a GPU.
    """

    optimiser: str = "adamw"
    learning_rate: float = 0.005
    weight_decay: float = 0.01
    epochs: int = 200
    early_stopping: bool = True
    patience: int = 30
    amp: bool = True


@dataclass(frozen=True)
class RoiSettings:
    """The image network that is trained on regions of interest (modality ``rois``).

    Attributes
    ----------
    network
        Name of a timm model.
    weights
        File of its pre-trained weights (safetensors, or a torch file of weights alone). Without one,
        ``tf_efficientnet_lite0`` has the ImageNet weights that come with the software, others random ones.
    crop
        Side in pixels of what the network sees of a region.
    frozen
        Share of the network's layers, from the input on, that training leaves as they are.
    learning_rate
        Of the image network; what stands on top of it has that of `TrainingSettings`.
    batch
        Crops in memory at once. It changes no result beyond rounding.
    """

    network: str = "tf_efficientnet_lite0"
    weights: str | None = None
    crop: int = 512
    frozen: float = 0.0
    learning_rate: float = 1e-4
    batch: int = 8


@dataclass(frozen=True)
class ModelSettings:
    """All settings of a model that is trained (not combined from others).

    Attributes
    ----------
    modalities
        Of clinical, expression, cnv, mutations, slides, rois and ``genomics:{adapter}``.
    fusion
        ``concat`` or ``kronecker``.
    pooling
        ``mean`` or ``attention``: how a patient's instances become one vector.
    features
        Reduction by kind of table, the keys of `REDUCTIONS`; ``genomics`` is for the embeddings of all adapters.
    predictor
        ``full``: the network fitted on the whole training part. ``ensemble``: the mean of it and of those that leave
        out one inner part each.
    """

    modalities: tuple[str, ...]
    title: str = ""
    fusion: str = "concat"
    pooling: str = "mean"
    predictor: str = "ensemble"
    features: Mapping[str, Reduction] = field(default_factory=lambda: dict(REDUCTIONS))
    balance: BalanceSettings = field(default_factory=lambda: BalanceSettings("none"))
    loss: LossSettings = field(default_factory=LossSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    rois: RoiSettings = field(default_factory=RoiSettings)

    @classmethod
    def from_dict(cls, values: Mapping) -> ModelSettings:
        """Return the settings of a model's section of config.yaml, or of :meth:`to_dict`; other keys are ignored."""
        parts = {
            "balance": BalanceSettings,
            "loss": LossSettings,
            "network": NetworkSettings,
            "training": TrainingSettings,
            "rois": RoiSettings,
        }
        known = {each.name for each in fields(cls)}
        kept = {key: value for key, value in values.items() if key in known and key not in {*parts, "features"}}
        kept["modalities"] = tuple(kept["modalities"])
        given = values.get("features", {})
        kept["features"] = {name: replace(each, **given.get(name, {})) for name, each in REDUCTIONS.items()}
        values = {"balance": {"strategy": "none"}, **values}
        return cls(**kept, **{name: kind(**_tuples(values.get(name, {}))) for name, kind in parts.items()})

    def to_dict(self) -> dict:
        """Return plain JSON types."""
        return asdict(self)

    def reduction(self, modality: str) -> Reduction:
        """Return how the table of a modality is reduced."""
        return self.features[modality.partition(":")[0]]

    @property
    def encoders(self) -> dict[str, tuple[str, ...]]:
        """Encoder -> the modalities that it reads; CNV and mutations share one, every other modality has its own."""
        genes = tuple(name for name in ("cnv", "mutations") if name in self.modalities)
        others = [name for name in self.modalities if name not in ("cnv", "mutations")]
        return ({"snn": genes} if genes else {}) | {name: (name,) for name in others}

    @property
    def branches(self) -> dict[str, tuple[str, ...]]:
        """Branch -> its encoders, in the order of `BRANCHES`; what balance compares."""
        found: dict[str, list[str]] = {}
        for encoder in self.encoders:
            found.setdefault(encoder if encoder in BRANCHES else "genomics", []).append(encoder)
        return {name: tuple(found[name]) for name in BRANCHES if name in found}


def _tuples(values: Mapping) -> dict:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
