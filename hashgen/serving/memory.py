"""The features of uploaded pictures: in memory alone, bounded, for a limited time."""

import pickle
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

CAPACITY = 4096
SECONDS = 3600.0


class Pictures(Protocol):
    """Where a server keeps the features of pictures."""

    def put(self, picture: Any, model: str) -> str:
        """Keep a picture; returns its name."""
        ...

    def get(self, name: str, model: str) -> Any:
        """The picture of that name, None if it is not kept."""
        ...

    def purge(self) -> int:
        """Drop what is out of time; returns how many pictures are left."""
        ...


class Memory:
    """Pictures by names that nobody can guess, so that knowing one is the right to use it.

    capacity: how many are kept; past it, the one that was used least recently goes. seconds: how long one is kept
    after its last use. A picture belongs to the model that encoded it: another cannot read its features. Safe to use
    from several threads.
    """

    def __init__(
        self, capacity: int = CAPACITY, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._capacity, self._seconds, self._clock = capacity, seconds, clock
        # In the order of their last use, so that what is out of time comes first.
        self._kept: OrderedDict[str, tuple[float, str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, picture: Any, model: str) -> str:
        """Keep a picture that `model` encoded; returns its name, 22 letters of 128 random bits."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._kept[name] = (self._clock(), model, picture)
            if len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        return name

    def get(self, name: str, model: str) -> Any:
        """The picture of that name; None if there is none, its time is over, or another model encoded it."""
        self.purge()
        with self._lock:
            _, encoded_by, picture = self._kept.get(name, (0.0, None, None))
            if encoded_by != model:
                return None
            self._kept[name] = (self._clock(), model, picture)
            self._kept.move_to_end(name)
            return picture

    def purge(self) -> int:
        """Drop the pictures whose time is over; returns how many are left."""
        with self._lock:
            oldest = self._clock() - self._seconds
            while self._kept and next(iter(self._kept.values()))[0] < oldest:
                self._kept.popitem(last=False)
            return len(self._kept)


class Shared:
    """A `Memory` in another process, for servers that answer side by side.

    That process holds bytes which it never opens: it needs no torch.
    """

    def __init__(self, memory: Pictures) -> None:
        self._memory = memory

    def put(self, picture: Any, model: str) -> str:
        """As `Memory.put`."""
        return self._memory.put(pickle.dumps(picture), model)

    def get(self, name: str, model: str) -> Any:
        """As `Memory.get`."""
        data = self._memory.get(name, model)
        return None if data is None else pickle.loads(data)

    def purge(self) -> int:
        """As `Memory.purge`."""
        return self._memory.purge()
