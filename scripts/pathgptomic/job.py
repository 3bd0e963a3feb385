"""What every job of the workflow does around its one step: threads, log, traceback, record."""

import contextlib
import errno
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pathgptomic.provenance import write_record

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
FULL_WORDS = ("no space left", "errno 28", "errno = 28", "quota exceeded")
REFUSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
# One thread a process unless the job says otherwise: two were slower than one wherever it was measured.
# Set on import, since numerical libraries read these variables only when they are loaded.
for _variable in THREAD_VARIABLES:
    os.environ.setdefault(_variable, "1")


@contextlib.contextmanager
def job(step: Any) -> Iterator[logging.Logger]:
    """Send log records to the rule's log file and to stderr, and let an error end the job with a readable last line.

    A job that ends well leaves a record of itself beside its log, see `provenance`.

    Parameters
    ----------
    step
        The `snakemake` object of the script. Progress bars go to stderr only.
    """
    log, began, clock = step.log[0], datetime.now(UTC), time.monotonic()
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")
    handlers = [logging.FileHandler(log, mode="w"), logging.StreamHandler(sys.stderr)]
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    logging.captureWarnings(True)
    warnings.simplefilter("default", UserWarning)
    logger = logging.getLogger("pathgptomic")
    try:
        yield logger
        write_record(step, began, time.monotonic() - clock)
    except ValueError as error:
        # bad input: the sentence is what the user needs, the traceback is for the log
        handlers[0].stream.write("".join(_traceback(error)))
        logger.error("%s", error)
        sys.exit(1)
    except OSError as error:
        logger.exception("the step failed")
        if sentence := disk_trouble(error):
            logger.error("%s", sentence)
            sys.exit(1)
        raise
    except Exception:
        logger.exception("the step failed")
        raise
    finally:
        for handler in handlers:
            root.removeHandler(handler)
            handler.flush()
        handlers[0].close()


def disk_trouble(error: OSError) -> str:
    """Return a sentence about a disk that is full or may not be written on; nothing for any other error."""
    # HDF5 and Arrow give the system's words but not always its number
    text = str(error).lower()
    place = f" ({error.filename})" if error.filename else ""
    if error.errno in FULL or any(word in text for word in FULL_WORDS):
        return f"the disk is full{place}; free some space and run again, what is finished is kept."
    if error.errno in REFUSED or "read-only file system" in text:
        return f"the folder may not be written in{place}; make it writable, or run in another one (--directory)."
    return ""


def _traceback(error: BaseException) -> list[str]:
    import traceback

    return traceback.format_exception(error)
