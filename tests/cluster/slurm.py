"""A real Slurm on one Debian host, for tests: ``python -m tests.cluster.slurm up|down FOLDER``.

munge, MariaDB, slurmdbd, slurmctld and three slurmd run on loopback, all from one folder: nodes cpu1, cpu2 and a node
gpu1 whose two GPUs are stand-ins (null devices). Only two links outside the folder are made, /etc/slurm/slurm.conf and
gres.conf, because the Slurm plugin of Snakemake strips SLURM_CONF from the environment of the step it starts.
"""

import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PACKAGES = ["munge", "slurmctld", "slurmd", "slurm-client", "slurmdbd", "mariadb-server"]
NODES = ("cpu1", "cpu2", "gpu1")
ETC = Path("/etc/slurm")
# stopped in this order, started in the reverse one
DAEMONS = (*(f"slurmd-{node}" for node in NODES), "slurmctld", "slurmdbd", "mariadb", "munged")

SLURM_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.socket
SlurmctldPort=16817
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SchedulerParameters=bf_interval=1,sched_min_interval=0,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
KillWait=2
DefMemPerCPU=1000
SlurmdParameters=config_overrides
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=16819
AccountingStoragePass={folder}/run/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
NodeName=cpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17001 CPUs=4 RealMemory=16000
NodeName=cpu2 NodeHostname={host} NodeAddr=127.0.0.1 Port=17002 CPUs=4 RealMemory=16000
NodeName=gpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17003 CPUs=4 RealMemory=32000 Gres=gpu:a100:2
PartitionName=cpu Nodes=cpu[1-2] Default=YES MaxTime=1-00:00:00 DefaultTime=10 State=UP
PartitionName=transfer Nodes=cpu2 MaxTime=1-00:00:00 DefaultTime=10 State=UP
PartitionName=gpu Nodes=gpu1 MaxTime=1-00:00:00 DefaultTime=10 State=UP
"""
SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.socket
DbdHost={host}
DbdPort=16819
SlurmUser=root
PidFile={folder}/run/slurmdbd.pid
LogFile={folder}/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=13306
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
"""


def up(folder: Path) -> None:
    """Install what is missing and start the cluster; what already runs is left alone."""
    folder = folder.resolve()
    install()
    for name in ("run", "log", "state", "spool", "dev", "munge"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    configure(folder)
    os.environ.pop("SLURM_CONF", None)
    start_munge(folder)
    start_accounting(folder)
    start_slurm(folder)
    logging.info("Slurm is up: %s", output("sinfo", "-h", "-o", "%P %N %t %G").replace("\n", "; "))


def down(folder: Path, wipe: bool = False) -> None:
    """Stop the daemons that this folder's pid files name, and no others."""
    folder = folder.resolve()
    for daemon in DAEMONS:
        stop(folder / "run" / f"{daemon}.pid")
    if wipe:
        for name in ("slurm.conf", "gres.conf"):
            link = ETC / name
            if link.is_symlink() and link.readlink() == folder / name:
                link.unlink()
        shutil.rmtree(folder)


def install() -> None:
    """Install the Debian packages that are missing."""
    missing = [name for name in PACKAGES if subprocess.run(["dpkg", "-s", name], capture_output=True).returncode]
    if not missing:
        return
    logging.info("installing %s", ", ".join(missing))
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    if subprocess.run(command, env=environment, capture_output=True).returncode:
        subprocess.run(["apt-get", "update", "-q"], check=True, capture_output=True)
        subprocess.run(command, env=environment, check=True, capture_output=True)


def configure(folder: Path) -> None:
    """Write the configuration and link it from /etc/slurm."""
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(SLURM_CONF.format(host=host, folder=folder))
    (folder / "gres.conf").write_text(f"NodeName=gpu1 Name=gpu Type=a100 File={folder}/dev/nvidia[0-1]\n")
    dbd = folder / "slurmdbd.conf"
    dbd.write_text(SLURMDBD_CONF.format(host=host, folder=folder))
    dbd.chmod(0o600)
    for index in range(2):
        device = folder / "dev" / f"nvidia{index}"
        if not device.exists():
            # slurmd wants device files; these lead to nothing
            subprocess.run(["mknod", str(device), "c", "1", "3"], check=True)
    ETC.mkdir(exist_ok=True)
    for name in ("slurm.conf", "gres.conf"):
        link = ETC / name
        if link.exists() and not link.is_symlink():
            sys.exit(f"{link} belongs to another Slurm on this host; refusing to replace it.")
        link.unlink(missing_ok=True)
        link.symlink_to(folder / name)


def start_munge(folder: Path) -> None:
    """Start munged with a key and a socket of its own."""
    if alive(folder / "run" / "munged.pid"):
        return
    key = folder / "munge" / "munge.key"
    if not key.exists():
        key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    key.parent.chmod(0o700)
    run, log = folder / "run", folder / "log"
    options = [f"--key-file={key}", f"--socket={run}/munge.socket", f"--pid-file={run}/munged.pid"]
    options += [f"--log-file={log}/munged.log", f"--seed-file={folder}/munge/seed"]
    subprocess.run(["/usr/sbin/munged", "--force", *options], check=True, capture_output=True)
    wait(lambda: succeeds("munge", "-S", f"{run}/munge.socket", "-n"), "munged")


def start_accounting(folder: Path) -> None:
    """Start MariaDB and slurmdbd."""
    run, log, data = folder / "run", folder / "log", folder / "db"
    client = ["mariadb", "--no-defaults", "-u", "root", "-S", f"{run}/mariadb.sock"]
    if not alive(run / "mariadb.pid"):
        if not data.exists():
            options = ["--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db"]
            options.append("--auth-root-authentication-method=normal")
            subprocess.run(["mariadb-install-db", *options], check=True, capture_output=True)
        options = ["--no-defaults", "--user=root", f"--datadir={data}", f"--socket={run}/mariadb.sock"]
        options += [f"--pid-file={run}/mariadb.pid", "--bind-address=127.0.0.1", "--port=13306"]
        options += [
            "--innodb-buffer-pool-size=128M",
            "--innodb-lock-wait-timeout=900",
            f"--log-error={log}/mariadb.log",
        ]
        quiet = subprocess.DEVNULL
        subprocess.Popen(
            ["/usr/sbin/mariadbd", *options], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
        wait(lambda: succeeds(*client, "-e", "select 1"), "mariadb")
        grants = "create database if not exists slurm_acct_db;"
        for host in ("127.0.0.1", "localhost"):
            grants += f"create user if not exists 'slurm'@'{host}' identified by 'slurm';"
            grants += f"grant all on slurm_acct_db.* to 'slurm'@'{host}';"
        subprocess.run([*client, "-e", grants], check=True)
    if not alive(run / "slurmdbd.pid"):
        environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
        subprocess.run(["/usr/sbin/slurmdbd"], check=True, env=environment, cwd=log)
    wait(lambda: succeeds("sacctmgr", "-n", "show", "cluster"), "slurmdbd")
    if "test" not in output("sacctmgr", "-n", "-P", "show", "cluster", "format=cluster").split():
        subprocess.run(["sacctmgr", "-i", "add", "cluster", "test"], check=True, capture_output=True)


def start_slurm(folder: Path) -> None:
    """Start the controller and the node daemons, and wait until every node takes jobs."""
    log = folder / "log"
    if not alive(folder / "run" / "slurmctld.pid"):
        subprocess.run(["/usr/sbin/slurmctld"], check=True, cwd=log)
    wait(lambda: succeeds("scontrol", "ping"), "slurmctld")
    for node in NODES:
        (folder / "spool" / node).mkdir(exist_ok=True)
        if not alive(folder / "run" / f"slurmd-{node}.pid"):
            subprocess.run(["/usr/sbin/slurmd", "-N", node], check=True, cwd=log)

    def ready() -> bool:
        states = dict(line.split() for line in output("sinfo", "-h", "-N", "-o", "%N %t").splitlines())
        for node, state in states.items():
            if state.startswith(("down", "drain", "unk")):
                succeeds("scontrol", "update", f"nodename={node}", "state=resume")
        return set(states) == set(NODES) and all(state in {"idle", "mix", "alloc"} for state in states.values())

    wait(ready, "the nodes")


def alive(pid_file: Path) -> bool:
    """Tell whether the process that a pid file names runs."""
    try:
        os.kill(int(pid_file.read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


def stop(pid_file: Path) -> None:
    """End the process that a pid file names, first by asking."""
    if not alive(pid_file):
        pid_file.unlink(missing_ok=True)
        return
    process = int(pid_file.read_text())
    os.kill(process, signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        wait(lambda: not alive(pid_file), pid_file.stem)
    if alive(pid_file):
        os.kill(process, signal.SIGKILL)
    pid_file.unlink(missing_ok=True)


def succeeds(*command: str) -> bool:
    """Tell whether a command ends well within a few seconds."""
    try:
        return subprocess.run(command, capture_output=True, timeout=5).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def output(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def wait(condition: Callable[[], bool], what: str, seconds: float = 90) -> None:
    """Wait for a condition; raise TimeoutError if it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not answer within {seconds:.0f} s")
        time.sleep(0.1)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if len(sys.argv) < 3 or sys.argv[1] not in {"up", "down"}:
        sys.exit(__doc__)
    if sys.argv[1] == "up":
        up(Path(sys.argv[2]))
    else:
        down(Path(sys.argv[2]), wipe="--wipe" in sys.argv)
