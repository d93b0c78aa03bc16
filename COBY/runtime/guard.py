"""Errors of ours at a command's end: one clear line on standard error and exit code 2."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from COBY.utils.exceptions import CobyError, ConfigurationError
from COBY.utils.logging import mask


@contextmanager
def guarded() -> Iterator[None]:
    """Turn a CobyError into `error <code>: ...` on standard error (a line each) and exit code 2."""
    try:
        yield
    except CobyError as error:
        report(error)
        raise SystemExit(2) from None


def report(error: CobyError) -> None:
    """Write the line (or lines) of an error to standard error, secrets masked."""
    problems = error.problems if isinstance(error, ConfigurationError) else ()
    for problem in problems or (error,):
        sys.stderr.write(f"error {mask(f'{problem.code}: {problem.detail()}')}\n")
    sys.stderr.flush()
