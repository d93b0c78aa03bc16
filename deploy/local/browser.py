"""The browser that the dashboard is tested in: Debian's Chromium, or the one that CHROMIUM names."""

import os
import shutil
from collections.abc import Mapping

from deploy.local.errors import LocalError
from deploy.local.fetch import check_machine, ensure_tools

NAMES = ("chromium", "chromium-browser", "google-chrome")


def browser(environ: Mapping[str, str] = os.environ) -> str | None:
    """Path of a Chromium on this machine; None where there is none."""
    if chosen := environ.get("CHROMIUM"):
        return chosen
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def fetch_browser() -> str:
    """Its path, after installing it where it is missing (some 300 MB). LocalError where that can't be done."""
    if (found := browser()) is None:
        try:
            check_machine()
        except LocalError as error:
            message = "no Chromium here, and it can't be installed: CHROMIUM names one"
            raise LocalError("no_browser", f"{message} ({error.code})") from error
        # A machine without any font draws no letters; the browser's packages only recommend one.
        ensure_tools({"chromium": "chromium"}, ("fonts-dejavu-core",))
        found = browser()
    assert found, "apt has installed it"
    return found
