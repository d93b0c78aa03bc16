"""The steps of deploy/Dockerfile without an engine: its own COPY and RUN lines, in a mount namespace of their own.

`/src`, `/wheels` and `/opt` are folders of the test's there, the checkout is hidden, and once built all is read-only
but `/tmp`. Not done: the base images (this machine's Python and Node.js stand in), users in /etc/passwd, apt-get.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("/src", "/wheels", "/opt")
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
    """A namespace that holds what the steps have made."""

    def __init__(self, folder: Path) -> None:
        """``folder``: an empty one."""
        self.folder = folder
        self._env = {
            name: os.environ[name] for name in os.environ if name.startswith(("PIP_", "NPM_", "npm_"))
        }
        self._env |= {"HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"}
        self._env["PATH"] = f"{folder}/bin:{os.environ['PATH']}"
        self._holder: subprocess.Popen[bytes] | None = None

    @contextmanager
    def opened(self) -> Iterator[Image]:
        """The namespace; it ends with the block."""
        for place in (*PLACES, "/bin", "/run", "/secrets"):
            (self.folder / place[1:]).mkdir()
        (self.folder / "bin" / "python").symlink_to(os.path.realpath(sys._base_executable))
        # Of another root than the machine's: the places do not exist there, and nothing of it may change.
        made = [f"mkdir -p {place} && mount --bind {self.folder}{place} {place}" for place in PLACES]
        script = " && ".join(["mount --make-rprivate /", *made, "echo ready", "exec sleep infinity"])
        self._holder = subprocess.Popen(["unshare", "--mount", "sh", "-ec", script], stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"
        try:
            yield self
        finally:
            self._holder.kill()
            self._holder.communicate()
            for place in PLACES:
                if place != "/opt":
                    Path(place).rmdir()  # the empty folders that the mounts needed

    def enter(self, command: Sequence[str], *, user: bool = False) -> list[str]:
        """The command that runs one within; ``user``: as the image's own, without any right."""
        assert self._holder is not None
        switched = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs"]
        inside = [
            "nsenter",
            "--target",
            str(self._holder.pid),
            "--mount",
            f"--wd={'/tmp' if user else '/src'}",
        ]
        return [*inside, *([*switched, "--inh-caps=-all", "--"] if user else []), *command]

    def build(self, stages: Sequence[str], text: str) -> list[str]:
        """Do the instructions of these stages; what was left out."""
        left, env, workdir = [], dict(self._env), "/src"
        for stage, word, rest in steps(text):
            if stage not in stages:
                continue
            if word == "WORKDIR":
                workdir = rest
                (self.folder / rest[1:]).mkdir(parents=True, exist_ok=True)
            elif word == "ENV":
                env |= dict(part.split("=", 1) for part in rest.split())
            elif word == "COPY" and not rest.startswith("--from"):
                self._copy(rest.split(), workdir)
            elif word == "RUN" and any(name in rest for name in NOT_HERE):
                left.append(rest)
            elif word == "RUN":
                done = subprocess.run(
                    self.enter(["sh", "-ec", f"cd {workdir} && {rest}"]),
                    env=env,
                    capture_output=True,
                    text=True,
                )
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
            into = self.folder / workdir[1:] / target / inside
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, into)

    def seal(self, secrets: Mapping[str, str]) -> None:
        """From now on nothing can be written but /tmp, which is empty; the checkout is gone; secrets are files."""
        for name, value in secrets.items():
            (self.folder / "secrets" / name).write_text(value)
        lines = [
            f"mount --bind {self.folder}/run /run",
            "mkdir /run/secrets",
            f"mount --bind {self.folder}/secrets /run/secrets",
            "mount --bind -o ro /opt /opt",
            "mount -o remount,bind,ro /opt",
            f"mount -t tmpfs -o ro tmpfs {ROOT}",
            "mount -t tmpfs -o mode=1777 tmpfs /tmp",
            "mount -o remount,bind,ro /",
        ]
        done = subprocess.run(
            self.enter(["sh", "-ec", "\n".join(lines)]), env=self._env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    def environment(self, text: str) -> dict[str, str]:
        """What the last stage gives its programs."""
        env = {"PATH": "/usr/bin:/bin"}
        for stage, word, rest in steps(text):
            if stage == "programs" and word == "ENV":
                for part in rest.split():
                    name, value = part.split("=", 1)
                    env[name] = value.replace("$PATH", env["PATH"])
        return env
