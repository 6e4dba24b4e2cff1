"""Errors, named by what must happen next.

::

    SirenError
    ├── UnusableData     skip: the input cannot be used; log the reason, continue with the next one
    ├── AlgorithmError   report: good input, but no result; the message has the numbers that explain it
    ├── ProgramError     report: an external program failed; has the tail of its log
    ├── Unavailable      retry: a service, disk or network is temporarily unavailable
    │   └── Refused      retry, and tell the operators: a service refuses our credentials
    └── MissingPart      stop: a program, package or setting is missing
"""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT)


class SirenError(Exception):
    """Base class of all errors that brightsiren raises."""


class UnusableData(SirenError):
    """The input cannot be used; the message gives the value and the allowed values."""


class AlgorithmError(SirenError):
    """Good input gave no result; the message has the numbers that explain it."""


class ProgramError(SirenError):
    """An external program failed, hung or wrote invalid output.

    Parameters
    ----------
    message
        One sentence: program, failure, expectation.
    log_tail
        The last lines that the program wrote, for the report.
    """

    def __init__(self, message: str, *, log_tail: str = "") -> None:
        super().__init__(message)
        self.log_tail = log_tail

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_program_error, (str(self), self.log_tail)


def _rebuild_program_error(message: str, log_tail: str) -> ProgramError:
    return ProgramError(message, log_tail=log_tail)


class Unavailable(SirenError):
    """A service, file system or network is temporarily unavailable; a retry may succeed."""


class Refused(Unavailable):
    """A service refuses our credentials or rights: a retry succeeds once an operator has corrected them.

    The message names the service and no single file, so that many refusals of one cause have one message.
    """


class MissingPart(SirenError):
    """A program, package or setting is missing; the message says how to get it."""


# errors of a single item; any other error concerns all items
FAULTS = (UnusableData, AlgorithmError, ProgramError)


def passing(error: BaseException) -> bool:
    """Return whether the same work may succeed at a retry: the error is not due to its input."""
    return not isinstance(error, UnusableData | AlgorithmError)


def disk_is_full(error: BaseException) -> bool:
    """Return whether an error is due to a full disk or quota."""
    return isinstance(error, OSError) and error.errno in FULL
