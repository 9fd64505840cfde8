"""The first module of the program: signals are handled before anything else is imported.

The init process of a container (PID 1) ignores SIGTERM and SIGINT as long as it has no handlers for them.
Importing the rest takes seconds, and a container that does not end in time is killed.
"""

import errno
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GONE = (errno.EPIPE, errno.EIO)  # errors of a pipe that nobody reads any more, and of a closed terminal


def _commands() -> None:
    from pipeline.cli import main

    main()


def main(commands: Callable[[], None] = _commands) -> None:
    """Entry point. Until `pipeline.work.signals` takes over, a signal ends the process at once with 128 + N.

    Nothing is claimed before that. The process ends without the interpreter's own clean-up, which takes more
    than a second once torch was imported: everything was closed by then.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _end)
    try:
        commands()
    except SystemExit as end:
        _leave(end.code if isinstance(end.code, int) else int(end.code is not None))
    _leave(0)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _leave(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            # A reader that goes away changes nothing of what was done. On a full disk the output is lost.
            code = code or int(error.errno not in _GONE)
    os._exit(code)
