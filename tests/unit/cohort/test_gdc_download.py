"""The downloader against a server that misbehaves: every fault survived, no corrupt byte, nothing fetched twice."""

import fcntl
import hashlib
import logging
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pathgptomic.cohort.gdc.client import Access, Client, read_token
from pathgptomic.cohort.gdc.download import RemoteFile, fetch
from tests.unit.cohort.gdc_server import FakeGdc, serve

CONTENT = os.urandom(300_000) + bytes(200_000) + os.urandom(1_000_000)


@pytest.fixture
def gdc():
    with serve(FakeGdc()) as server:
        yield server


def client(gdc: FakeGdc, **settings) -> Client:
    return Client(Access(**{"base_url": gdc.url, "timeout_s": 0.6, "attempts": 4, "first_pause_s": 0.01} | settings))


def left_behind(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.part")]


FAULTS = {
    "no fault": [],
    "connection dropped twice": ["drop", "drop"],
    "connection reset": ["reset"],
    "connection stalled": ["stall"],
    "server errors 500, 502, 503": ["500", "502", "503"],
    "429 too many requests": ["429"],
    "bit flipped": ["flip"],
    "bit flipped after a drop": ["drop", "flip"],
    "body truncated": ["truncate"],
    "body in chunks": ["chunked"],
    "body in chunks, dropped": ["chunked drop", "chunked drop"],
    "Range ignored": ["drop", "ignore range"],
    "another range than asked for": ["drop", "wrong range"],
    "416 to a good range": ["drop", "416"],
    "many drops with progress": ["drop"] * 8,
    "everything": ["503", "drop", "stall", "reset", "429", "flip", "truncate", "ignore range"],
}


@pytest.mark.parametrize(
    "faults", [pytest.param(faults, id=name, marks=pytest.mark.fault(name)) for name, faults in FAULTS.items()]
)
def test_fault_is_survived(gdc, tmp_path, faults):
    file = gdc.add("counts.tsv", CONTENT, *faults)
    fetch([file], tmp_path, client(gdc))
    assert file.place(tmp_path).read_bytes() == CONTENT
    assert not left_behind(tmp_path)
    assert [r.fault for r in gdc.requests(file)][: len(faults)] == faults
    assert len(gdc.requests(file)) <= len(faults) + 2


@pytest.mark.fault("many files, all faults mixed")
def test_many_files_through_mixed_faults(gdc, tmp_path, record_property):
    """Every byte right, and what is finished is never asked for again, whatever came before."""
    dice = random.Random(5)
    known = ("drop", "reset", "500", "429", "flip", "truncate", "ignore range", "wrong range", "chunked drop", "416")
    files = [gdc.add(f"{i}.tsv", CONTENT[i : 60_000 * i], *dice.choices(known, k=dice.randrange(4))) for i in range(25)]
    fetch(files, tmp_path, client(gdc, attempts=6))
    corrupt = sum(hashlib.md5(file.place(tmp_path).read_bytes()).hexdigest() != file.md5 for file in files)
    requests = len(gdc.log)
    faults = sum(bool(request.fault) for request in gdc.log)
    fetch(files, tmp_path, client(gdc))
    again = len(gdc.log) - requests
    record_property(
        "count", f"{len(files)} files, {requests} requests, {faults} faults, {corrupt} corrupt, {again} fetched twice"
    )
    assert (corrupt, again) == (0, 0)
    assert faults > 20
    assert not left_behind(tmp_path)


@pytest.mark.fault("refusals on the only connection")
def test_refusal_gives_its_connection_back(gdc, tmp_path):
    files = [gdc.add(f"{i}.tsv", CONTENT, "503", "drop", "416", "wrong range") for i in range(3)]
    job = threading.Thread(target=fetch, args=(files, tmp_path, client(gdc, connections=1)), daemon=True)
    job.start()
    job.join(60)
    # a lost connection would be waited for without end
    assert not job.is_alive()
    assert all(file.place(tmp_path).read_bytes() == CONTENT for file in files)


@pytest.mark.fault("429 with Retry-After")
def test_retry_after_is_waited_for(gdc, tmp_path):
    file = gdc.add("counts.tsv", CONTENT, "429 after 1 s")
    fetch([file], tmp_path, client(gdc))
    first, second = (request.at for request in gdc.requests(file))
    # without the header the pause would be at most 0.01 s
    assert 1 <= second - first < 10
    assert file.place(tmp_path).read_bytes() == CONTENT


def test_resumed_requests_ask_for_the_rest_only(gdc, tmp_path):
    file = gdc.add("counts.tsv", CONTENT, "drop", "drop")
    fetch([file], tmp_path, client(gdc))
    first, second, third = (r.range for r in gdc.requests(file))
    assert first is None
    assert 0 < int(second.strip("bytes=-")) < int(third.strip("bytes=-")) < len(CONTENT)
    assert sum(r.sent for r in gdc.requests(file)) <= len(CONTENT) + 2 * 2**18


@pytest.mark.fault("part longer than the file")
def test_part_longer_than_the_file_starts_anew(gdc, tmp_path):
    file = gdc.add("counts.tsv", CONTENT)
    part = file.place(tmp_path).with_name(".counts.tsv.part")
    part.parent.mkdir()
    part.write_bytes(CONTENT + b"more")
    fetch([file], tmp_path, client(gdc))
    assert file.place(tmp_path).read_bytes() == CONTENT


@pytest.mark.fault("416, the file has become shorter")
def test_nothing_after_the_part_416_starts_anew(gdc, tmp_path):
    file = gdc.add("counts.tsv", CONTENT)
    # the server's copy has become shorter than the part: it answers 416
    gdc.files[file.uuid] = ("counts.tsv", CONTENT[:1000])
    part = file.place(tmp_path).with_name(".counts.tsv.part")
    part.parent.mkdir()
    part.write_bytes(CONTENT[:2000])
    with pytest.raises(ValueError, match="1 of 1 files could not be fetched"):
        fetch([file], tmp_path, client(gdc, attempts=2))
    assert [r.range for r in gdc.requests(file)][:2] == ["bytes=2000-", None]
    assert not file.place(tmp_path).exists()


@pytest.mark.fault("corrupt part of an earlier run")
def test_corrupt_part_of_an_earlier_run_is_found(gdc, tmp_path):
    file = gdc.add("counts.tsv", CONTENT)
    part = file.place(tmp_path).with_name(".counts.tsv.part")
    part.parent.mkdir()
    part.write_bytes(b"x" * 1000)
    fetch([file], tmp_path, client(gdc))
    assert file.place(tmp_path).read_bytes() == CONTENT


def test_complete_part_needs_no_request(gdc, tmp_path):
    file = gdc.add("counts.tsv", CONTENT)
    part = file.place(tmp_path).with_name(".counts.tsv.part")
    part.parent.mkdir()
    part.write_bytes(CONTENT)
    fetch([file], tmp_path, client(gdc))
    assert file.place(tmp_path).exists()
    assert not gdc.log


def test_finished_files_are_never_fetched_again(gdc, tmp_path):
    files = [gdc.add(f"{i}.tsv", CONTENT[: 1000 * i]) for i in range(6)]  # the first is empty
    fetch(files, tmp_path, client(gdc))
    fetch(files, tmp_path, client(gdc))
    assert sorted(r.uuid for r in gdc.log) == sorted(f.uuid for f in files[1:])
    assert files[0].place(tmp_path).read_bytes() == b""


@pytest.mark.fault("finished file damaged on the disk")
def test_damaged_finished_file_is_replaced(gdc, tmp_path):
    file = gdc.add("counts.tsv", CONTENT)
    fetch([file], tmp_path, client(gdc))
    file.place(tmp_path).write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    fetch([file], tmp_path, client(gdc))
    assert file.place(tmp_path).read_bytes() == CONTENT


@pytest.mark.fault("bit flipped in every answer")
def test_flipped_for_ever_is_given_up_without_a_file(gdc, tmp_path):
    bad, good = gdc.add("bad.tsv", CONTENT, *["flip"] * 9), gdc.add("good.tsv", CONTENT)
    with pytest.raises(ValueError, match=r"1 of 2 files could not be fetched: .*MD5 of the manifest, 4 times"):
        fetch([bad, good], tmp_path, client(gdc))
    assert not bad.place(tmp_path).exists()
    assert good.place(tmp_path).read_bytes() == CONTENT


@pytest.mark.fault("503 to every request")
def test_silent_server_is_given_up(gdc, tmp_path):
    file = gdc.add("counts.tsv", CONTENT, *["503"] * 9)
    with pytest.raises(ValueError, match="answered 503, 4 times; run again later"):
        fetch([file], tmp_path, client(gdc))
    assert len(gdc.log) == 4


@pytest.mark.fault("no server")
def test_server_that_is_not_there(tmp_path):
    file = RemoteFile("u", "n", "0" * 32, 5)
    nowhere = Client(Access(base_url="http://127.0.0.1:9", attempts=2, first_pause_s=0.01))
    with pytest.raises(ValueError, match="the connection to http://127.0.0.1:9/data/u broke"):
        fetch([file], tmp_path, nowhere)


@pytest.mark.parametrize(
    "status", [pytest.param(gone, marks=pytest.mark.fault(f"{gone}, the file is gone")) for gone in ("404", "410")]
)
def test_missing_file_is_final(gdc, tmp_path, status):
    file = gdc.add("counts.tsv", CONTENT, *[status] * 9)
    with pytest.raises(ValueError, match="no longer has this file"):
        fetch([file], tmp_path, client(gdc))
    assert len(gdc.log) == 1


@pytest.mark.fault("redirection, with a token")
def test_redirection_is_not_followed(gdc, tmp_path):
    file = gdc.add("counts.tsv", CONTENT, "redirect", access="controlled")
    with pytest.raises(ValueError, match="redirects to http://elsewhere.example/; name that address"):
        fetch([file], tmp_path, client(gdc, token=gdc.token))


@pytest.mark.fault("403 on a controlled file")
def test_controlled_files_need_a_token(gdc, tmp_path):
    open_file, secret = gdc.add("open.tsv", CONTENT), gdc.add("secret.maf", CONTENT, access="controlled")
    with pytest.raises(ValueError, match=r"1 of 2 files are under controlled access, such as secret.maf .*token_file"):
        fetch([open_file, secret], tmp_path, client(gdc))
    assert not gdc.log
    with pytest.raises(ValueError, match=r"secret.maf\): the token does not open this file"):
        fetch([open_file, secret], tmp_path, client(gdc, token="expired"))
    assert open_file.place(tmp_path).exists()
    fetch([open_file, secret], tmp_path, client(gdc, token=gdc.token))
    assert secret.place(tmp_path).read_bytes() == CONTENT
    assert {r.token for r in gdc.requests(open_file)} == {None}


def test_token_is_never_shown(gdc, tmp_path, caplog, monkeypatch):
    token_file = tmp_path / "token.txt"
    token_file.write_text("secret-token\n")
    monkeypatch.setenv("GDC_TOKEN_FILE", str(token_file))
    access = Access(base_url=gdc.url, token=read_token(None), attempts=2, first_pause_s=0.01)
    assert access.token == "secret-token"
    caplog.set_level(logging.DEBUG)
    bad = gdc.add("secret.maf", CONTENT, "503", "403", "403", access="controlled")
    with pytest.raises(ValueError, match="secret.maf") as raised:
        fetch([bad], tmp_path / "files", Client(access))
    assert "secret-token" not in caplog.text + repr(access) + str(raised.value)
    with pytest.raises(ValueError, match="there is no GDC token file nowhere.txt"):
        read_token("nowhere.txt")


def test_names_that_leave_the_folder_are_refused():
    for uuid, name in (("..", "x"), ("u", "../x"), ("u", "a/b"), ("", "x")):
        with pytest.raises(ValueError, match="no plain name"):
            RemoteFile(uuid, name, "0" * 32, 1)


@pytest.mark.fault("disk too small")
def test_disk_too_small_is_said_before_anything_is_asked(gdc, tmp_path):
    with pytest.raises(ValueError, match=r"100000.0 GB are to be fetched .* GB free; make room"):
        fetch([RemoteFile("u", "slide.svs", "0" * 32, 10**14)], tmp_path, client(gdc))
    assert not gdc.log


CHILD = """
import resource, signal, sys
from pathlib import Path
from pathgptomic.cohort.gdc.client import Access, Client
from pathgptomic.cohort.gdc.download import RemoteFile, fetch
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
url, folder, limit, *files = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
files = [RemoteFile(*f.split(",")[:3], int(f.split(",")[3])) for f in files]
fetch(files, Path(folder), Client(Access(base_url=url, timeout_s=5, first_pause_s=0.01, connections=2)))
"""


def child(gdc: FakeGdc, root: Path, folder: Path, limit: int, *files: RemoteFile) -> subprocess.Popen:
    words = [f"{f.uuid},{f.name},{f.md5},{f.size}" for f in files]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, gdc.url, str(folder), str(limit), *words],
        env=os.environ | {"PYTHONPATH": str(root / "scripts")},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.fault("disk full on the way")
def test_full_disk_says_so_and_the_next_run_goes_on(gdc, tmp_path, root):
    file = gdc.add("slide.svs", CONTENT)
    process = child(gdc, root, tmp_path, 600_000, file)
    assert process.wait(30) == 1
    assert "is full; free some space and run again" in process.stderr.read()
    assert not file.place(tmp_path).exists()
    fetch([file], tmp_path, client(gdc))
    assert file.place(tmp_path).read_bytes() == CONTENT
    assert gdc.log[-1].range == "bytes=600000-"


@pytest.mark.fault("SIGKILL")
def test_run_killed_outright_goes_on_where_it_was(gdc, tmp_path, root):
    gdc.bytes_per_second = 2e6
    files = [gdc.add(f"{i}.svs", os.urandom(1_500_000)) for i in range(4)]
    process = child(gdc, root, tmp_path, 0, *files)
    deadline = time.monotonic() + 60
    while sum(f.place(tmp_path).exists() for f in files) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    finished = [f for f in files if f.place(tmp_path).exists()]
    begun = len(left_behind(tmp_path))
    assert finished
    assert begun
    gdc.bytes_per_second = None
    before = len(gdc.log)
    fetch(files, tmp_path, client(gdc))
    for file in files:
        assert hashlib.md5(file.place(tmp_path).read_bytes()).hexdigest() == file.md5
    again = gdc.log[before:]
    assert not {f.uuid for f in finished} & {r.uuid for r in again}
    assert sum(r.range is not None for r in again) == begun
    assert not left_behind(tmp_path)


@pytest.mark.fault("two jobs want one file")
def test_two_jobs_share_one_file(gdc, tmp_path):
    gdc.bytes_per_second = 5e6
    file = gdc.add("slide.svs", CONTENT)
    jobs = [threading.Thread(target=fetch, args=([file], tmp_path, client(gdc))) for _ in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert file.place(tmp_path).read_bytes() == CONTENT
    assert len(gdc.log) == 1
    assert not left_behind(tmp_path)


def test_part_removed_while_waiting_for_its_lock(gdc, tmp_path):
    file = gdc.add("slide.svs", CONTENT)
    part = file.place(tmp_path).with_name(".slide.svs.part")
    part.parent.mkdir()
    with open(part, "ab") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        job = threading.Thread(target=fetch, args=([file], tmp_path, client(gdc)))
        job.start()
        time.sleep(0.2)
        part.unlink()
    job.join()
    assert file.place(tmp_path).read_bytes() == CONTENT


def test_retry_after_is_honoured():
    from pathgptomic.cohort.gdc.client import TryAgain, _retry_after

    assert _retry_after("7") == 7
    assert _retry_after("soon") == _retry_after(None) == 0
    assert _retry_after("99999") == 600
    assert 0 <= _retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    future = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))
    assert 25 < _retry_after(future) <= 30
    patient = Client(Access())
    assert patient.pause(1, TryAgain("busy", 7.0)) == 7
    pauses = [patient.pause(4, TryAgain("broken")) for _ in range(200)]
    assert 0 <= min(pauses) < 1
    assert 7 < max(pauses) <= 8
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
