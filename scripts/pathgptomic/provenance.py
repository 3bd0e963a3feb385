"""What a job leaves behind about itself: one small JSON file beside its log, read by the report and by `cost`.

It holds no settings but the seed, so that nothing confidential gets into it; settings are in Snakemake's own records.
"""

import contextlib
import json
import os
import platform
import resource
import subprocess
import sys
import warnings
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pathgptomic import __version__
from pathgptomic.files import atomic

FOLDER = "logs"  # where the records of a working directory are, beside the logs of the same names
KILO = 1024


def record_path(log: str | Path) -> Path:
    """Return the record of the job with a log file."""
    return Path(log).with_suffix(".json")


def write_record(step: Any, began: datetime, clock: float) -> None:
    """Write the record of a job that has ended well.

    Parameters
    ----------
    step
        The `snakemake` object of a script.
    began
        When it began.
    clock
        Seconds that it took.
    """
    digest = step.params.get("code", "")
    record = {
        "rule": step.rule,
        "wildcards": dict(step.wildcards.items()),
        "input": list(map(str, step.input)),
        "output": list(map(str, step.output)),
        "seed": step.params.get("seed"),
        "threads": step.threads,
        "code": {"version": __version__, "digest": digest, "commit": commit(Path(__file__).parent)},
        "packages": packages(),
        "host": platform.node(),
        "platform": platform.platform(),
        "gpu": gpu(),
        "slurm_job": os.environ.get("SLURM_JOB_ID", ""),
        "began": began.isoformat(timespec="seconds"),
        "seconds": round(clock, 2),
        **usage(),
    }
    with atomic(record_path(step.log[0])) as temporary:
        temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_records(folder: str | Path) -> dict[Path, dict[str, Any]]:
    """Return the records below a folder by their path; a file that is none is passed over."""
    found = {}
    for path in sorted(Path(folder).rglob("*.json")):
        with contextlib.suppress(ValueError, OSError):
            record = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(record, Mapping) and {"rule", "output", "packages"} <= record.keys():
                found[path] = dict(record)
    return found


def packages() -> dict[str, str]:
    """Return Python's version and those of the packages that this process has loaded."""
    found = {"python": platform.python_version()}
    for name, module in sorted(sys.modules.items()):
        if "." in name or name.startswith("_") or name in sys.stdlib_module_names:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some packages advise against the attribute, each job's log need not
            known = getattr(module, "__version__", None)
        if not isinstance(known, str):
            try:
                known = version(name)
            except (PackageNotFoundError, ValueError):
                continue
        found[name] = known
    return found


def commit(folder: Path) -> str:
    """Return the git commit of the code, `-changed` behind it where files differ from it; empty without git."""
    try:
        command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=-changed"]
        run = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""


def gpu() -> str:
    """Return the name of the GPU that this process has used, empty without one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return ""
    return torch.cuda.get_device_name()


def usage() -> dict[str, float]:
    """Return CPU seconds and peak memory (MB) of this process and of the children that it has waited for."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    seconds = sum(part.ru_utime + part.ru_stime for part in (own, children))
    return {"cpu_seconds": round(seconds, 2), "peak_mb": round(max(own.ru_maxrss, children.ru_maxrss) / KILO, 1)}
