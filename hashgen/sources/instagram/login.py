"""The login to Instagram: instaloader's session file, named in the environment, read with care and never stored."""

import dataclasses
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hashgen.base.errors import HashgenError
from hashgen.sources.stops import ExitCode

FILE_VARIABLE = "INSTALOADER_SESSION"
USER_VARIABLE = "INSTALOADER_USER"


@dataclasses.dataclass(frozen=True, slots=True)
class Login:
    """A session of instaloader. Neither field is ever shown or written."""

    user: str = dataclasses.field(repr=False)
    cookies: dict[str, str] = dataclasses.field(repr=False)


def read_login(environment: Mapping[str, str]) -> Login | None:
    """The session that INSTALOADER_SESSION and INSTALOADER_USER name; None where neither is set.

    With the user name alone, it is instaloader's default file for that name. Raises HashgenError (exit code:
    login missing) if the file is missing, is inside the repository, is readable by others, or is not a session.
    """
    from instaloader.instaloader import get_default_session_filename

    user, named = environment.get(USER_VARIABLE, ""), environment.get(FILE_VARIABLE, "")
    if not user and not named:
        return None
    path = Path(named or get_default_session_filename(user)).expanduser().absolute()
    _check_place(path)
    return Login(user or "unnamed", _read_cookies(path))


def _check_place(path: Path) -> None:
    if not path.is_file():
        raise _fault("no such file; create it with: instaloader --login NAME --sessionfile FILE")
    for root in _repositories(Path.cwd()):
        if path.is_relative_to(root) or path.resolve().is_relative_to(root.resolve()):
            raise _fault("the file is inside the repository, where it could be committed; move it out")
    status = path.stat()
    if status.st_mode & 0o077 or status.st_uid != os.getuid():
        raise _fault("the file is readable by other users; make it private: chmod 600")


def _repositories(here: Path) -> list[Path]:
    """The working folder, the repository it is in, and the one that a copy for an experiment was made from."""
    roots = [here]
    roots += [folder for folder in (here, *here.parents) if (folder / ".git").exists()][:1]
    parts = here.parts
    copies = [index for index in range(len(parts) - 2) if parts[index : index + 3] == (".dvc", "tmp", "exps")]
    return roots + [Path(*parts[:index]) for index in copies]


class _CookieReader(pickle.Unpickler):
    """Reads plain values only: a session is a dict of text, and any other pickle could run code."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        raise pickle.UnpicklingError("not a session")


def _read_cookies(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as stream:
            cookies = _CookieReader(stream).load()
    except OSError as error:
        raise _fault(f"the file cannot be read ({error.strerror})") from None
    # Damaged pickles raise almost anything; what they hold must not be shown.
    except Exception:
        raise _fault("the file is not a session file of instaloader; log in again with instaloader") from None
    if not isinstance(cookies, dict) or not cookies.get("sessionid") or "csrftoken" not in cookies:
        raise _fault("the file contains no login; log in again with instaloader")
    return {str(name): str(value) for name, value in cookies.items()}


def _fault(what: str) -> HashgenError:
    # The path is left out on purpose: instaloader's own file names hold the login name.
    return HashgenError(f"{FILE_VARIABLE}: {what}", ExitCode.LOGIN)
