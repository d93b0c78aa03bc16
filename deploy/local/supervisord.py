"""The supervisor's configuration file, from the table of programs."""

import re
import shlex
import signal
from collections.abc import Iterable
from pathlib import Path

from deploy.local.errors import LocalError
from deploy.local.process import dies_with_parent
from deploy.local.programs import Program

STOP_SECONDS = 30  # SIGTERM: drain, snapshot, exit within this


def configuration(
    table: Iterable[Program], *, socket: Path, logs: Path, directory: Path, logfile: Path, pidfile: Path
) -> str:
    """supervisord.conf: every program restarted whenever it ends, its output in `logs`."""
    sections: dict[str, dict[str, object]] = {
        "supervisord": {
            "nodaemon": "true",
            "silent": "true",
            "user": "root",
            "logfile": logfile,
            "logfile_maxbytes": 0,
            "pidfile": pidfile,
            "childlogdir": logs,
        },
        "unix_http_server": {"file": socket, "chmod": "0700"},
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
    }
    for number, program in enumerate(table, start=1):
        # Started in the order of the table, stopped in the opposite one.
        sections[f"program:{program.name}"] = {"priority": number} | _section(program, logs, directory)
    return "\n".join(
        f"[{title}]\n" + "".join(f"{key} = {value}\n" for key, value in section.items())
        for title, section in sections.items()
    )


def _section(program: Program, logs: Path, directory: Path) -> dict[str, object]:
    # Tied to supervisord: a program never outlives it.
    command = dies_with_parent(("nice", "-n", str(program.nice), *program.command), signal.SIGTERM)
    # By env, not by `environment =`, which loses quotes at a value's end.
    settings = [f"{key}={value}" for key, value in program.environment.items()]
    return {
        "command": _escaped(shlex.join(["env", *settings, *command])),
        "directory": directory,
        "autorestart": "true",
        # An end sooner than this is a failed start: after ten of them (a minute) it is FATAL, stays down.
        "startsecs": 3,
        "startretries": 10,
        "stopsignal": "TERM",
        "stopwaitsecs": STOP_SECONDS,
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": logs / f"{program.name}.log",
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": 2,
    }


def _escaped(text: str) -> str:
    """Doubled percent signs: supervisor expands %(name)s everywhere. What its file can't hold is refused."""
    if re.search(r"[\r\n]|\s[;#]", text):  # a new line, or what begins a comment
        message = f"{text!r} can't be passed on: it has a line break, or a blank before ; or #"
        raise LocalError("setting_invalid", message)
    return text.replace("%", "%%")
