"""What a download leaves under the name of a file that it did not fetch."""

import re

_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s|html\b|head\b|\?xml\b)", re.IGNORECASE)
_POINTER = b"version https://git-lfs.github.com/spec/"


def not_the_file(start: bytes) -> str | None:
    """What a file that begins so is instead of a table, and what to do; None for any other. start: some hundred bytes.

    A web page comes where an address needs a login or leads to a page about the file; a pointer of Git LFS
    (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md) where a repository was cloned without it.
    """
    if _PAGE.match(start):
        return "a web page (HTML or XML), not the file itself; download the file again, logged in if it needs that"
    if start.startswith(_POINTER):
        return "a pointer of Git LFS, not the file itself; fetch it, in its repository: git lfs pull"
    return None
