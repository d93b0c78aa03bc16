"""Brings what the local stack needs: Kafka's jars, a Debian trixie tree, the compose binary.

Everything lands in the cache folder (`COBY_CACHE`, else ~/.cache/coby) under a name that says its content,
built beside it and renamed: a name that exists is complete. Two fetches at once wait for each other.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy.local.errors import LocalError

HERE = Path(__file__).parent
POM = HERE / "pom.xml"
SUITE = "trixie"
PACKAGES = ("postgresql-17", "postgresql-17-timescaledb", "redis-server")
MONITORING = ("prometheus", "prometheus-alertmanager", "promtool")
"""Only for the tests of deploy/monitoring."""
TRIES = 3
NEWS_SECONDS = 10.0


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder all downloads live in; it may be shared by many clones."""
    return Path(environ.get("COBY_CACHE") or Path.home() / ".cache" / "coby").expanduser().resolve()


def kafka_version() -> str:
    """Kafka's version, as pom.xml has it."""
    found = re.search(r"<kafka\.version>(.+?)</kafka\.version>", POM.read_text())
    assert found, "pom.xml names no kafka.version"
    return found.group(1)


def digest(text: str) -> str:
    """A few signs that stand for a content, in a folder's name."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def kafka_dir() -> Path:
    """Where the jars are (or will be). Another pom.xml is another folder: a running broker keeps its own."""
    return cache_dir() / f"kafka-{kafka_version()}-{digest(POM.read_text())}"


def root_dir() -> Path:
    """The unpacked Debian tree with the database and Redis in it."""
    return cache_dir() / f"{SUITE}-{digest(' '.join((os.uname().machine, SUITE, *PACKAGES)))}"


def compose_dir() -> Path:
    """Where Debian's docker-compose (v2) is unpacked; only its `config` is used without an engine."""
    return cache_dir() / f"compose-{digest(os.uname().machine + SUITE)}"


def compose_binary() -> Path | None:
    """The docker-compose v2 program: the fetched one; None where it could not be had."""
    path = compose_dir() / "usr" / "bin" / "docker-compose"
    return path if path.exists() else None


def monitoring_dir() -> Path:
    """Where Prometheus, its promtool, Alertmanager and its amtool are unpacked, as Debian has them."""
    names = " ".join((os.uname().machine, SUITE, *MONITORING))
    return cache_dir() / f"monitoring-{digest(names)}"


def monitoring_binary(name: str) -> Path | None:
    """One of `prometheus`, `promtool`, `prometheus-alertmanager`, `amtool`; None where it could not be had."""
    path = monitoring_dir() / "usr" / "bin" / name
    return path if path.exists() else None


def check_machine() -> None:
    """Refuse at once what can't work: raises LocalError not_debian or not_root."""
    release = Path("/etc/os-release")
    text = release.read_text() if release.exists() else ""
    if not re.search(r"^ID(_LIKE)?=.*\bdebian\b", text, re.MULTILINE) or not shutil.which("apt-get"):
        raise LocalError("not_debian", "the local stack needs Debian; elsewhere use docker-compose.kafka.yml")
    if os.geteuid() != 0:
        message = "the local stack must run as root (apt, chroot); else use docker-compose.kafka.yml"
        raise LocalError("not_root", message)


def engine_answers() -> bool:
    """Whether a Docker engine is there, and not just its client."""
    docker = shutil.which("docker")
    return bool(docker) and subprocess.run(["docker", "version"], capture_output=True).returncode == 0


def mounts_below(folder: Path) -> list[str]:
    """Mount points in `folder` as this process sees them."""
    inside = f"{folder.resolve()}/"
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [point for point in points if f"{point}/".startswith(inside)]


def remove_tree(folder: Path) -> None:
    """Remove it, but never through a mount: one below it (the host's /dev?) raises mounted_below."""
    if not folder.exists():
        return
    if mounted := mounts_below(folder):
        raise LocalError("mounted_below", f"{folder} is not removed: {mounted[0]} is mounted in it")
    shutil.rmtree(folder)


def run(command: list[str], log: Path, label: str, *, env: Mapping[str, str] | None = None) -> None:
    """Run `command`, output into `log`, news every 10 s. Raises fetch_failed with the log's tail."""
    started = time.monotonic()
    with log.open("ab") as out:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **(env or {})}
        )
        try:
            while (code := _wait(child, NEWS_SECONDS)) is None:
                print(f"  … {label}: {time.monotonic() - started:.0f} s so far", flush=True)
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()
    if code != 0:
        message = f"{label}: {command[0]} ended with {code}; log: {log}"
        raise LocalError("fetch_failed", message, detail=tail(log))


def _wait(child: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error message."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _retried(step: Callable[[], None]) -> None:
    for attempt in range(1, TRIES + 1):
        try:
            step()
            return
        except LocalError as error:
            if attempt == TRIES:
                raise
            print(f"  … {error.message}; once more in {5 * attempt} s", flush=True)
            time.sleep(5 * attempt)


@contextmanager
def building(target: Path) -> Iterator[Path | None]:
    """A folder to build `target` in, renamed into place at the end; None when it is there by then."""
    cache = target.parent
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            yield None
            return
        for left in cache.glob(f"{target.name}.tmp-*"):  # of a build that was killed: we hold the lock
            remove_tree(left)
        temp = cache / f"{target.name}.tmp-{os.getpid()}"
        temp.mkdir(mode=0o755)
        yield temp
        temp.rename(target)


def log_of(name: str) -> Path:
    """Where a download writes what it says."""
    folder = cache_dir() / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.log"


def ensure_tools(tools: Mapping[str, str], beside: Iterable[str] = ()) -> None:
    """Install Debian packages for the programs of `tools` (program → package) that are missing, `beside` with them."""
    missing = sorted({package for program, package in tools.items() if not shutil.which(program)})
    if not missing:
        return
    missing += beside
    print(f"installing {', '.join(missing)} …", flush=True)
    apt = ["apt-get", "-q", "-y", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=300"]
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    log = log_of("apt")
    _retried(lambda: run([*apt, "update"], log, "apt-get update", env=env))
    install = [*apt, "install", "--no-install-recommends", *missing]
    _retried(lambda: run(install, log, "apt-get install", env=env))


def fetch_kafka() -> None:
    """Kafka's jars into kafka_dir()/lib (about 50 MB)."""
    ensure_tools({"java": "default-jre-headless", "mvn": "maven"})
    with building(kafka_dir()) as temp:
        if temp is None:
            return
        print(f"fetching Kafka {kafka_version()} (some 50 MB of jars) …", flush=True)
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={temp / 'lib'}"]
        command = ["mvn", "-B", "-q", "-C", "-f", str(POM), *goal]
        _retried(lambda: run(command, log_of("kafka"), "Kafka's jars"))


def fetch_root() -> None:
    """The Debian tree with PostgreSQL, TimescaleDB and Redis (about 550 MB, half a minute)."""
    ensure_tools({"mmdebstrap": "mmdebstrap", "unshare": "util-linux", "setpriv": "util-linux"})
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        message = "unshare --mount is refused here: run outside an unprivileged container"
        raise LocalError("no_mount_rights", message)
    with building(root_dir()) as temp:
        if temp is None:
            return
        print(f"fetching TimescaleDB and Redis (a Debian {SUITE} tree of some 550 MB) …", flush=True)

        def build() -> None:
            remove_tree(temp / "root")
            make = ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE]
            # In a mount namespace of its own: its mounts end with it, however it ends.
            run(["unshare", "--mount", *make, str(temp / "root")], log_of("trixie"), "the Debian tree")

        _retried(build)


def fetch_compose() -> None:
    """Debian's docker-compose v2. Not having it only skips the test of the compose file: no error."""
    _fetch_packages(compose_dir(), ("docker-compose",), "to check the compose file")


def fetch_monitoring() -> None:
    """Debian's Prometheus and Alertmanager. Not having them only skips the tests of alerts: no error."""
    _fetch_packages(monitoring_dir(), MONITORING, "to check rules and alerts")


def _fetch_packages(target: Path, packages: tuple[str, ...], why: str) -> None:
    names = ", ".join(packages)
    try:
        with building(target) as temp:
            if temp is not None:
                print(f"fetching {names} (only {why}) …", flush=True)
                _unpack(temp, packages)
    except (LocalError, StopIteration) as error:
        print(f"  {names} could not be had, tests will be skipped: {error}", flush=True)


def _unpack(temp: Path, packages: tuple[str, ...]) -> None:
    apt = temp / "apt"
    (apt / "partial").mkdir(parents=True)
    where = {
        "Dir::Etc::sourcelist": root_dir() / "root" / "etc" / "apt" / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": apt,
        "Dir::Cache": apt,
        "APT::Sandbox::User": "root",
        "Acquire::Retries": 3,
    }
    options = [part for name, value in where.items() for part in ("-o", f"{name}={value}")]
    log = log_of(packages[0])
    run(["apt-get", *options, "update"], log, "apt-get update")
    # apt downloads into the working directory, hence the shell.
    download = ["sh", "-c", 'cd "$0" && exec apt-get "$@"', str(apt), *options, "download", *packages]
    run(download, log, packages[0])
    for package in sorted(apt.glob("*.deb")):
        run(["dpkg", "-x", str(package), str(temp)], log, f"unpacking {package.name}")
    shutil.rmtree(apt)


def missing() -> list[str]:
    """What `fetch` would still have to bring, by name."""
    parts = {
        "Kafka": kafka_dir(),
        "TimescaleDB and Redis": root_dir(),
        "docker-compose": compose_dir(),
        "Prometheus and Alertmanager": monitoring_dir(),
    }
    return [name for name, path in parts.items() if not path.exists()]


def fetch() -> None:
    """Bring all of it; quick when it is there. Raises LocalError."""
    check_machine()
    ensure_tools({"java": "default-jre-headless", "unshare": "util-linux", "setpriv": "util-linux"})
    if missing():
        fetch_kafka()
        fetch_root()
        fetch_compose()
        fetch_monitoring()


def require(path: Path, what: str) -> Path:
    """`path`, or missing_server with what to do about it."""
    if not path.exists():
        raise LocalError("missing_server", f"{what} is not here ({path}): run make setup")
    return path
