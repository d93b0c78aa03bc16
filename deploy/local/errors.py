"""What can go wrong with the local stack, each with a stable code.

Own class, not COBY's: `fetch` runs before anything else of the project is known to work.
Codes: not_debian, not_root, no_mount_rights, fetch_failed, missing_server, port_in_use, not_local,
already_running, server_exited, server_timeout, mounted_below, no_programs, program_unknown, setting_invalid.
"""


class LocalError(Exception):
    """Shown as one line `error <code>: <message>`; `detail` (a log's tail) follows on its own lines."""

    def __init__(self, code: str, message: str, *, detail: str = "") -> None:
        super().__init__(f"{code}: {message}" + (f"\n{detail}" if detail else ""))
        self.code = code
        self.message = message
        self.detail = detail
