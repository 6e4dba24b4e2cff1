"""Errors, named by what must happen next.

::

    SirenError
    ├── UnusableData     skip: the input cannot be used; say why and go on with the next one
    ├── AlgorithmError   report: good input, but no result; carries the numbers that say why
    ├── ProgramError     report: an external program failed; carries the tail of its log
    ├── Unavailable      retry: something outside is away for a while
    └── MissingPart      stop: something that must be installed or configured is not there
"""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT)


class SirenError(Exception):
    """Base of every error that brightsiren raises on purpose."""


class UnusableData(SirenError):
    """The input cannot be used: say what was got and what is allowed, skip it, go on."""


class AlgorithmError(SirenError):
    """Good input gave no result; the message carries the numbers that say why."""


class ProgramError(SirenError):
    """An external program failed, hung or lied about its output.

    Parameters
    ----------
    message
        One sentence: program, what happened, what was expected.
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
    """A service, file system or network does not answer now; trying again later may help."""


class MissingPart(SirenError):
    """A program, package or setting is not there; the message says how to get it."""


# what may be wrong with one item of many; anything else is wrong with all of them
FAULTS = (UnusableData, AlgorithmError, ProgramError)


def passing(error: BaseException) -> bool:
    """Tell whether the same work might succeed another time: nothing is wrong with what it was given."""
    return not isinstance(error, UnusableData | AlgorithmError)


def disk_is_full(error: BaseException) -> bool:
    """Tell whether an error says that no space is left."""
    return isinstance(error, OSError) and error.errno in FULL
