"""Whether a request comes from a page, and by a name, that we know. Pure.

A browser says with `Origin` whose page is asking; a foreign page is refused, on WebSockets too, for which there is no
CORS. And where no key is wanted, the name under which we were asked counts: a page whose own name was made to lead to
127.0.0.1 (DNS rebinding) is of one origin with us for its browser. Such a name has a dot and is not ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit


def origin_is_ours(origin: str, host: str, allowed: Sequence[str]) -> bool:
    """Whether the `Origin` of a request that was sent to ``host`` (its header) is that host's own, or allowed."""
    origin = origin.lower()
    if origin in allowed:
        return True
    scheme, _, place = origin.partition("://")
    return scheme in ("http", "https") and bool(place) and place == host.lower()


def host_is_ours(host: str, allowed: Sequence[str]) -> bool:
    """Whether the header `Host` is an address, a name without a dot (localhost, a container's), or an allowed one."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    if not name:
        return False
    if "." not in name and ":" not in name:
        return True
    try:
        ip_address(name)
    except ValueError:
        return name in {urlsplit(one).hostname for one in allowed}
    return True
