"""The one error class for what a user can mend."""


class HashgenError(Exception):
    """Something the user can mend: one line, *where: what, and what to do*.

    A stage prints the message without a traceback and exits with code 1. Any other exception is a bug
    of ours and keeps its traceback.
    """
