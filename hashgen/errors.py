"""The one error class for what a user can mend."""


class HashgenError(Exception):
    """Something the user can mend: one line, *where: what, and what to do*.

    A stage prints the message without a traceback and exits with `exit_code`: 1 unless the way it ended matters to a
    script (2 is Typer's, for options it does not understand). Any other exception is a bug of ours and keeps its
    traceback.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
