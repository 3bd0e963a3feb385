"""Import reference packages that look for torchvision.

torchsurv imports torchmetrics, which imports torchvision where it is installed; and a torchvision that was built for
another torch fails, since its operators are missing. Their schemas are all that the import needs.
"""

import functools
from types import ModuleType

import torch

SCHEMAS = ("nms", "qnms")


@functools.cache
def torchsurv_cox() -> ModuleType:
    """Return ``torchsurv.loss.cox``."""
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        # the definitions live as long as the library object
        torchsurv_cox.library = torch.library.Library("torchvision", "DEF")
        for name in SCHEMAS:
            torchsurv_cox.library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from torchsurv.loss import cox

    return cox
