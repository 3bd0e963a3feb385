"""The downloader beside curl, the build of a large cohort, and the plan of ten of them."""

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import yaml

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 2**20
ROUNDS = 5
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
SERVER = """
import http.server, os, sys, time
size, rate = int(sys.argv[1]), float(sys.argv[2])
with open(sys.argv[3], "rb") as blob:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def log_message(self, *args): pass
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            if not rate:
                self.connection.sendfile(open(sys.argv[3], "rb"))
                return
            began, sent, step = time.monotonic(), 0, int(rate / 100)
            while sent < size:
                sent += os.sendfile(self.connection.fileno(), blob.fileno(), sent, min(step, size - sent))
                time.sleep(max(began + sent / rate - time.monotonic(), 0))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()
"""
BUILD = """
import resource, sys, time
from pathlib import Path
from tests.benchmarks.bench_gdc import built
print(built(Path(sys.argv[1])), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


def rows() -> list[dict]:
    """Measure: one connection and four against curl, the build of 1,000 patients, the plan of ten cohorts."""
    return [*_downloads(), _build(), _plan()]


class _Server:
    """A plain server in a process of its own: every path is the same file."""

    def __init__(self, folder: Path, size: int, rate: float = 0.0):
        self.blob = folder / "blob"
        self.blob.write_bytes(os.urandom(size))
        self.size = size
        self.md5 = hashlib.md5(self.blob.read_bytes()).hexdigest()
        words = [sys.executable, "-c", SERVER, str(size), str(rate), str(self.blob)]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{self._process.stdout.readline().strip()}"

    def __enter__(self) -> "_Server":
        return self

    def __exit__(self, *_) -> None:
        self._process.kill()
        self._process.wait()


def _downloads() -> list[dict]:
    """Download to memory, so that the disk has no part in it."""
    found = []
    for name, reference, files, size, rate, connections, checked, goal in (
        ("gdc_single", _curl, 6, 128 * MEGABYTE, 0.0, 1, True, 0.9),
        ("gdc_single_unchecked", _curl, 6, 128 * MEGABYTE, 0.0, 1, False, 0.9),
        ("gdc_single_checked", _curl_and_md5sum, 6, 128 * MEGABYTE, 0.0, 1, True, 0.9),
        ("gdc_single_gigabit", _curl, 6, 64 * MEGABYTE, 125e6, 1, True, 0.9),
        ("gdc_four", _curl, 8, 8 * MEGABYTE, 8.0 * MEGABYTE, 4, True, 3.0),
    ):
        ours = _ours(connections) if checked else _unchecked(_ours(connections))
        with tempfile.TemporaryDirectory(dir=MEMORY) as text, _Server(Path(text), size, rate) as server:
            pairs = [
                (_timed(reference, server, Path(text), files), _timed(ours, server, Path(text), files))
                for _ in range(ROUNDS)
            ]
        speeds = [files * size / MEGABYTE / statistics.median(times) for times in zip(*pairs, strict=True)]
        limit = f", server limited to {rate / MEGABYTE:.0f} MB/s a connection" if rate else ""
        md5 = f"with MD5 ({_md5_rate():.0f} MB/s alone)" if checked else "without MD5"
        checks = "and md5sum" if reference is _curl_and_md5sum else "which checks nothing"
        found.append(
            {
                "name": name,
                "ours": speeds[1],
                "reference": speeds[0],
                "ratio": statistics.median(theirs / ours for theirs, ours in pairs),
                "goal": goal,
                "unit": "MB/s",
                "conditions": f"{files} files of {size // MEGABYTE} MB over loopback{limit}, to memory; {connections} "
                f"connections {md5}, beside one curl for all files, {checks}; median of {ROUNDS} pairs; "
                f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
            }
        )
    return found


def _md5_rate() -> float:
    """Return MB/s of MD5 on one core: no connection whose content is verified can be faster."""
    block, digest = bytes(MEGABYTE), hashlib.md5()
    began = time.perf_counter()
    for _ in range(256):
        digest.update(block)
    return 256 / (time.perf_counter() - began)


def _timed(fetch: Callable, server: _Server, folder: Path, files: int) -> float:
    with tempfile.TemporaryDirectory(dir=folder) as out:
        began = time.perf_counter()
        fetch(server, Path(out), files)
        return time.perf_counter() - began


def _curl(server: _Server, out: Path, files: int) -> None:
    words = [word for i in range(files) for word in ("-o", str(out / str(i)), f"{server.url}/data/{i}")]
    subprocess.run(["curl", "-s", *words], check=True)


def _curl_and_md5sum(server: _Server, out: Path, files: int) -> None:
    _curl(server, out, files)
    subprocess.run(["md5sum", *out.iterdir()], check=True, capture_output=True)


def _ours(connections: int) -> Callable:
    from pathgptomic.cohort.gdc.client import Access, Client
    from pathgptomic.cohort.gdc.download import RemoteFile, fetch

    def run(server: _Server, out: Path, files: int) -> None:
        wanted = [RemoteFile(str(i), "file", server.md5, server.size) for i in range(files)]
        fetch(wanted, out, Client(Access(base_url=server.url, connections=connections)))

    return run


def _unchecked(fetch: Callable) -> Callable:
    """Receive without MD5, which nothing in the workflow does: what the connection itself costs, like with like."""
    from pathgptomic.cohort.gdc.hashing import BackgroundMd5

    def run(server: _Server, out: Path, files: int) -> None:
        with patch.multiple(BackgroundMd5, update=lambda *_: None, hexdigest=lambda _: server.md5):
            fetch(server, out, files)

    return run


def _build() -> dict:
    patients, genes = 1000, 20000
    with tempfile.TemporaryDirectory() as text:
        _simulate(Path(text), patients, genes)
        run = subprocess.run(
            [sys.executable, "-c", BUILD, text],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT}"},
            capture_output=True,
            text=True,
            check=True,
        )
    seconds, gigabytes = map(float, run.stdout.split())
    return {
        "name": "build_1000",
        "ours": seconds,
        "reference": 180.0,
        "ratio": 180.0 / seconds,
        "goal": 1.0,
        "unit": "s",
        "conditions": f"{patients} simulated patients, {genes} genes, lock to cohort files, one thread, peak "
        f"{gigabytes:.2f} GB; reference: the time allowed (180 s, 4 GB)",
    }


def _simulate(folder: Path, patients: int, genes: int) -> None:
    from pathgptomic.cohort.simulate.mirror import simulate_mirror

    simulate_mirror(
        settings={"patients": patients, "genes": genes, "missing": {"slides": 1.0}},
        seed=1,
        threads=1,
        mirror_out=str(folder / "mirror"),
        truth_out=str(folder / "truth.json"),
        hazards_out=str(folder / "hazards.tsv"),
    )


def built(folder: Path) -> float:
    """Lock, verify and build the mirror in `folder`; return the seconds that it took."""
    from pathgptomic.cohort.gdc.build import build_gdc_cohort
    from pathgptomic.cohort.gdc.fetch import fetch_files
    from pathgptomic.cohort.gdc.lock import lock_cohort
    from pathgptomic.config import compose_schemas, with_defaults

    config, cohort = compose_schemas(ROOT / "config" / "schemas")
    access = with_defaults({}, config["properties"]["gdc"])
    demo = yaml.safe_load((ROOT / "config" / "cohorts" / "tcga-kirc.yaml").read_text())
    changes = {"gdc": {"projects": ["SIMU"]}, "covariates": {"age": "numeric"}, "missing": "mask"}
    settings = with_defaults(demo | changes | {"modalities": ["clinical", "expression", "cnv", "mutations"]}, cohort)
    mirror, manifest, answers = (str(folder / name) for name in ("mirror", "manifest.tsv", "answers"))
    began = time.perf_counter()
    lock_cohort(
        cohort="simulated",
        gdc=settings["gdc"],
        modalities=settings["modalities"],
        access=access,
        mirror=mirror,
        lock=None,
        manifest_out=manifest,
        drift_out=str(folder / "drift.tsv"),
        answers_out=answers,
    )
    fetch_files(
        manifest=manifest,
        modalities=["expression", "cnv", "mutations"],
        folder="",
        mirror=mirror,
        access=access,
        fetched_out=str(folder / "fetched.tsv"),
    )
    build_gdc_cohort(
        manifest=manifest,
        answers=answers,
        folder=mirror,
        outcomes=None,
        positions=None,
        settings=settings,
        out=str(folder),
        replicates_out=str(folder / "replicates.tsv"),
    )
    return time.perf_counter() - began


def _plan() -> dict:
    """Time a dry run of all ready TCGA cohorts; their slides are worked off in a fixed number of batches."""
    names = sorted(path.stem for path in (ROOT / "config" / "cohorts").glob("tcga-*.yaml"))
    words = [sys.executable, "-m", "snakemake", "-n", "-q", "--config", f"cohorts=[{','.join(names)}]"]
    times = []
    with tempfile.TemporaryDirectory() as text:
        # with compiled modules, as any second run has them
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = text
        for _ in range(4):
            began = time.perf_counter()
            subprocess.run(words, cwd=ROOT, env=environment, check=True, capture_output=True)
            times.append(time.perf_counter() - began)
    seconds = statistics.median(times[1:])
    return {
        "name": "dag_10000",
        "ours": seconds,
        "reference": 10.0,
        "ratio": 10.0 / seconds,
        "goal": 1.0,
        "unit": "s",
        "conditions": f"dry run of {len(names)} cohorts (about 10,000 diagnostic slides, in batches), median of 3 "
        f"after one; reference: the time allowed; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
    }
