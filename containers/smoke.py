"""The test inside a stage's image: every pin has its version and loads. ``smoke.py STAGE any|cpu|cuda``."""

import importlib
import importlib.metadata
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "envs"))
from install import pins


def main(stage: str, device: str) -> None:
    """Import what the pinned packages bring, and look whether torch is built for the device."""
    modules: dict[str, list[str]] = {}
    for module, distributions in importlib.metadata.packages_distributions().items():
        for distribution in distributions:
            modules.setdefault(re.sub(r"[-_.]+", "-", distribution).lower(), []).append(module)
    for pin in pins([stage]):
        name, version = re.sub(r"\[.*\]", "", pin).split("==")
        found = importlib.metadata.version(name)
        # a local version says how a wheel was built ("2.13.0+cpu")
        if found.partition("+")[0] != version:
            sys.exit(f"{name} is {found} in the image, and envs/{stage}.yaml pins {version}")
        for module in modules[re.sub(r"[-_.]+", "-", name).lower()]:
            if module.isidentifier() and not module.startswith("_"):
                load(module)
    if "torch" in sys.modules and device != "any":
        built = "cuda" if sys.modules["torch"].version.cuda else "cpu"
        if built != device:
            sys.exit(f"torch in the image is built for {built}, not for {device}")


def load(module: str) -> None:
    """Import a module as the workflow does: timm stands a torchvision that is built for another torch."""
    if module == "timm":
        from timm_import import import_timm

        import_timm()
    elif module != "torchvision":
        importlib.import_module(module)


if __name__ == "__main__":
    main(*sys.argv[1:])
