"""What a download leaves under the name of a file that it did not fetch."""

import re

_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<[a-zA-Z!?/]")
_LFS = b"version https://git-lfs.github.com/spec/"
_ANNEX = (b"/annex/objects/", b"../.git/annex/objects/", b".git/annex/objects/")


def not_the_file(start: bytes) -> str | None:
    """What a file that begins so is instead of a table, and what to do; None for any other. start: some hundred bytes.

    A web page comes where an address needs a login or leads to a page about the file; for pointers see `pointer`.
    """
    if _PAGE.match(start):
        return "a web page (HTML or XML), not the file itself; download the file again, logged in if it needs that"
    return pointer(start)


def pointer(start: bytes) -> str | None:
    """What a file that only stands for another is, and how to get that; None for any other. start: as above.

    A repository that is cloned without Git LFS (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md) or git-annex
    holds pointers instead of large files.
    """
    if start.startswith(_LFS):
        return "a pointer of Git LFS, not the file itself; fetch it, in its repository: git lfs pull"
    if start.startswith(_ANNEX):
        return "a pointer of git-annex, not the file itself; fetch it, in its repository: git annex get"
    return None
