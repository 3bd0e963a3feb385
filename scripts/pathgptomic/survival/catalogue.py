"""The baselines by name and the modalities that each of them reads; no imports, so that rules and checks can ask."""

OMICS = ("expression", "cnv", "mutations")

# A cohort that lacks some of a baseline's modalities runs it on those that it has.
BASELINES: dict[str, tuple[str, ...]] = {
    "clinical-cox": ("clinical",),
    "clinical-spline-cox": ("clinical",),
    "elastic-net-expression": ("expression",),
    "elastic-net-cnv": ("cnv",),
    "elastic-net-mutations": ("mutations",),
    "elastic-net-omics": OMICS,
    "pca-cox-expression": ("expression",),
    "block-cox": ("clinical", *OMICS),
    "random-survival-forest": ("clinical", *OMICS),
}
