"""The one error class for what a user can fix, and how messages quote what came from outside."""


def printable(text: str) -> str:
    r"""A message in which what a terminal obeys instead of shows is written out (`\x1b`, `\u202e`), but ends of lines.

    Names and values from files stand in messages: they must not clear the screen, nor turn the text around.
    """
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in text
    )


class HashgenError(Exception):
    """Something the user can fix: one line, *where: what, and what to do*.

    A command prints the message without a traceback and exits with `exit_code`: 1 unless the way it ended matters to a
    script (2 is Typer's, for options it does not understand). Any other exception is a bug of ours and keeps its
    traceback.

    stage: the stage of the pipeline that creates what is missing. The library names no command of DVC or of the
    pipeline; a stage's command line adds how to run that stage. The message is made `printable`.
    """

    def __init__(self, message: str, exit_code: int = 1, *, stage: str | None = None) -> None:
        super().__init__(printable(message))
        self.exit_code = exit_code
        self.stage = stage
