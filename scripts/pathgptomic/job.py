"""What every job of the workflow does around its one step: threads, log, traceback."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# One thread a process unless the job says otherwise: two were slower than one wherever it was measured.
# Set on import, since numerical libraries read these variables only when they are loaded.
for _variable in THREAD_VARIABLES:
    os.environ.setdefault(_variable, "1")


@contextlib.contextmanager
def job(log: str | Path) -> Iterator[logging.Logger]:
    """Send log records to the rule's log file and to stderr, and let an error end the job with a readable last line.

    Parameters
    ----------
    log
        The rule's log file. Progress bars go to stderr only.
    """
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
    except ValueError as error:
        # bad input: the sentence is what the user needs, the traceback is for the log
        handlers[0].stream.write("".join(_traceback(error)))
        logger.error("%s", error)
        sys.exit(1)
    except Exception:
        logger.exception("the step failed")
        raise
    finally:
        for handler in handlers:
            root.removeHandler(handler)
            handler.flush()
        handlers[0].close()


def _traceback(error: BaseException) -> list[str]:
    import traceback

    return traceback.format_exception(error)
