"""The one error class for what a user can fix."""


class HashgenError(Exception):
    """Something the user can fix: one line, *where: what, and what to do*.

    A command prints the message without a traceback and exits with `exit_code`: 1 unless the way it ended matters to a
    script (2 is Typer's, for options it does not understand). Any other exception is a bug of ours and keeps its
    traceback.

    stage: the stage of the pipeline that creates what is missing or broken. The library knows no command line; a
    command that runs in the pipeline adds how to run that stage.
    """

    def __init__(self, message: str, exit_code: int = 1, *, stage: str | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.stage = stage
