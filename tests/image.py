"""The steps of deploy/Dockerfile without an engine: its own COPY and RUN lines, in a root of their own.

That root has this machine's `/usr` and `/etc` and nothing else of it, so the checkout can't be seen; once built all
is read-only but `/tmp`. Not done: base images (this machine's Python and Node.js stand in), groupadd, apt-get.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = Path("/usr/bin/python3")
"""Not one of a home, which another user can't reach."""
PLACES = ("src", "wheels", "opt", "tmp", "run", "proc", "dev", "usr", "etc", "own")
SHARED = ("usr", "etc", "proc", "dev")
LINKS = ("bin", "sbin", "lib", "lib64")
USER = "10001"
NOT_HERE = ("groupadd", "apt-get")


def steps(text: str) -> Iterator[tuple[str, str, str]]:
    """(stage, instruction, rest) of each instruction, lines joined."""
    stage = ""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", text))
    for line in filter(None, joined.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stage = rest.partition(" AS ")[2]
        yield stage, word, rest


class Image:
    """A root in a mount namespace, that holds what the steps have made."""

    def __init__(self, folder: Path) -> None:
        """``folder``: an empty one."""
        self.root = folder / "root"
        self.secrets = folder / "secrets"
        self._env = dict(os.environ)  # pip's and npm's own settings among it
        self._env |= {"HOME": "/tmp", "PATH": "/own/bin:/usr/local/bin:/usr/bin:/bin"}
        self._holder: subprocess.Popen[bytes] | None = None

    @contextmanager
    def opened(self) -> Iterator[Image]:
        """The namespace; it ends, and its mounts with it, when the block does."""
        for place in PLACES:
            (self.root / place).mkdir(parents=True)
        for link in LINKS:
            if Path("/", link).is_symlink():
                (self.root / link).symlink_to(os.readlink(f"/{link}"))
        (self.root / "own" / "bin").mkdir()
        (self.root / "own" / "bin" / "python").symlink_to(PYTHON)
        script = ["mount --make-rprivate /", f"mount --bind {self.root} {self.root}"]
        script += [f"mount --rbind /{place} {self.root}/{place}" for place in SHARED]
        given = Path(os.environ.get("PIP_FIND_LINKS", "-"))
        if given.is_dir():
            inside = self.root / str(given)[1:]
            inside.mkdir(parents=True)
            script.append(f"mount --bind {given} {inside}")
        script += ["echo ready", f"exec chroot {self.root} sleep infinity"]
        command = ["unshare", "--mount", "sh", "-ec", "\n".join(script)]
        self._holder = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"
        try:
            yield self
        finally:
            self._holder.kill()
            self._holder.communicate()

    def enter(self, command: Sequence[str], folder: str, *, root: bool = True) -> list[str]:
        """The command that runs one within, in that folder; ``root``: the mounts, too, are of that root."""
        assert self._holder is not None
        into = [
            "nsenter",
            "--target",
            str(self._holder.pid),
            "--mount",
            *(["--root", "--wd"] if root else []),
        ]
        return [*into, "sh", "-ec", 'cd "$0" && exec "$@"', folder, *command]

    def as_user(self, command: Sequence[str]) -> list[str]:
        """The same as the image's own user, without any right."""
        rights = [f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs", "--inh-caps=-all"]
        return self.enter(["setpriv", *rights, "--", *command], "/tmp")

    def build(self, stages: Sequence[str], text: str) -> list[str]:
        """Do the instructions of these stages; what was left out."""
        left, env, workdir = [], dict(self._env), "/src"
        for stage, word, rest in steps(text):
            if stage not in stages:
                continue
            if word == "WORKDIR":
                workdir = rest
                (self.root / rest[1:]).mkdir(parents=True, exist_ok=True)
            elif word == "ENV":
                env |= {name: value.replace("$PATH", env["PATH"]) for name, value in pairs(rest)}
            elif word == "COPY" and not rest.startswith("--from"):
                self._copy(rest.split(), workdir)
            elif word == "RUN" and any(name in rest for name in NOT_HERE):
                left.append(rest)
            elif word == "RUN":
                command = self.enter(["sh", "-ec", rest], workdir)
                done = subprocess.run(command, env=env, capture_output=True, text=True)
                assert done.returncode == 0, f"{rest}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return left

    def _copy(self, words: list[str], workdir: str) -> None:
        *sources, target = words
        listed = subprocess.run(
            ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", *sources],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
        assert listed, f"nothing to copy: {words}"
        for name in listed:
            inside = Path(name).name if (ROOT / sources[0]).is_file() else os.path.relpath(name, sources[0])
            into = self.root / workdir[1:] / target / inside
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, into)

    def seal(self, secrets: Mapping[str, str]) -> None:
        """From now on nothing can be written but /tmp, which is empty; secrets are files for all to read."""
        (self.root / "run" / "secrets").mkdir()
        for name, value in secrets.items():
            (self.root / "run" / "secrets" / name).write_text(value)
        # Of the machine's own this namespace may change nothing either.
        lines = [f"mount -o remount,bind,ro {self.root}/{place}" for place in ("usr", "etc")]
        lines += [
            f"mount -t tmpfs -o mode=1777 tmpfs {self.root}/tmp",
            f"mount -o remount,bind,ro {self.root}",
        ]
        done = subprocess.run(
            self.enter(["sh", "-ec", "\n".join(lines)], "/", root=False), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def environment(text: str) -> dict[str, str]:
    """What the Dockerfile gives its programs, and nothing else."""
    env = {"PATH": "/usr/bin:/bin"}
    for stage, word, rest in steps(text):
        if (stage, word) == ("programs", "ENV"):
            env |= {name: value.replace("$PATH", env["PATH"]) for name, value in pairs(rest)}
    return env


def pairs(rest: str) -> list[tuple[str, str]]:
    """NAME=value of an ENV line."""
    return [(name, value) for name, _, value in (part.partition("=") for part in rest.split())]
