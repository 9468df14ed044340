"""`hashgen serve`: the application behind a port, in one process or several."""

import contextlib
import dataclasses
import errno
import ipaddress
import logging
import multiprocessing
import os
import re
import signal
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from multiprocessing.managers import BaseManager
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from typing import Any

import uvicorn
from prometheus_client.multiprocess import mark_process_dead

from hashgen.base.errors import HashgenError
from hashgen.serving.app import create_app
from hashgen.serving.core import Core
from hashgen.serving.examples import read_samples
from hashgen.serving.figures import FOLDER
from hashgen.serving.guard import is_loopback
from hashgen.serving.live import Live
from hashgen.serving.memory import Memory, Pictures, Shared

_GRACE_SECONDS = 5
Load = Callable[[Path], Core]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What `hashgen serve` was told. hosts: as --allow-host. workers: processes that answer side by side."""

    model: Path
    host: str = "127.0.0.1"
    port: int = 8000
    hosts: tuple[str, ...] = ()
    workers: int = 1


def _say(line: str) -> None:
    print(line, flush=True)


def load_model(folder: Path, **options: Any) -> Core:
    """`Suggester.load`; torch is imported only now, in the process that answers."""
    from hashgen.suggesting.suggester import Suggester

    return Suggester.load(folder, **options)


def serve(settings: Settings, load: Load, say: Callable[[str], None] = _say, *, show: bool = False) -> None:
    """Serve until Ctrl-C or a signal to end; requests that run are answered first.

    load: of a model folder; where there are several workers, a function of a module. say: is told the address as soon
    as the model is loaded. show: open the page in a browser then.
    Raises HashgenError for a host that must be allowed, for a port in use, and when the model cannot be loaded.
    """
    _check(settings)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    with _listening(settings.host, settings.port) as sock:
        address = _address(settings.host, sock.getsockname()[1])

        def ready() -> None:
            if not is_loopback(settings.host):
                say(f"anyone who reaches {settings.host} can use this server: it has no login")
            say(f"hashgen: {address} (Ctrl-C ends it)")
            if show:
                webbrowser.open(address)

        # Ctrl-C is how a server ends, not an interruption.
        before = signal.signal(signal.SIGINT, _end)
        try:
            with contextlib.suppress(KeyboardInterrupt):
                if settings.workers == 1:
                    _answer(settings, load, sock, Memory(), ready)
                else:
                    _answer_side_by_side(settings, load, sock, ready)
        finally:
            signal.signal(signal.SIGINT, before)


def _check(settings: Settings) -> None:
    for name in settings.hosts:
        if not (re.fullmatch(r"[A-Za-z0-9._-]+", name) or _is_address(name)):
            raise HashgenError(f"--allow-host {name}: not a host's name; give it without http:// and port")
    if not is_loopback(settings.host) and not settings.hosts:
        raise HashgenError(
            f"--host {settings.host}: others could reach this server, which has no login; "
            "if that is meant, add --allow-host with the name under which they call it"
        )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        sock = socket.create_server((host, port), family=family, backlog=1024)
    except socket.gaierror as error:
        raise HashgenError(f"--host {host}: no such address; give one of this machine, as 127.0.0.1") from error
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        remedy = (
            "give another with --port"
            if error.errno != errno.EADDRNOTAVAIL
            else "give an address of this machine with --host"
        )
        raise HashgenError(f"port {port} of {host}: {reason}; {remedy}") from error
    with sock:
        # Inherited by what it accepts. asyncio sets it for its own sockets only; without, each answer takes 40 ms.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield sock


def _address(host: str, port: int) -> str:
    # 0.0.0.0 and :: are all addresses of this machine, but none that a browser opens everywhere.
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/"


def _answer(settings: Settings, load: Load, sock: socket.socket, pictures: Pictures, ready: Callable[[], None]) -> None:
    """Answer requests in this process. Raises what the first load raised."""
    faults: list[Exception] = []

    def started(fault: Exception | None) -> None:
        if fault is None:
            ready()
        else:
            faults.append(fault)
            server.should_exit = True

    own = (settings.host,) if is_loopback(settings.host) else ()
    data = settings.model.absolute().parent.parent / "data"
    app = create_app(
        Live(settings.model, load),
        pictures=pictures,
        hosts=(*settings.hosts, *own),
        samples=lambda: read_samples(data, only_drawn=not is_loopback(settings.host)),
        started=started,
    )
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        log_level="warning",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = uvicorn.Server(config)
    server.run(sockets=[sock])
    if faults:
        raise faults[0]


class _Manager(BaseManager):
    """A process that holds the memory of pictures for all workers."""


_Manager.register("memory", Memory)


def _answer_side_by_side(settings: Settings, load: Load, sock: socket.socket, ready: Callable[[], None]) -> None:
    """Processes that take connections from one socket; one that dies is replaced."""
    context = multiprocessing.get_context("spawn")
    signal.signal(signal.SIGTERM, _end)
    loaded = context.Semaphore(0)
    workers: list[BaseProcess] = []

    def begin() -> BaseProcess:
        worker = context.Process(target=_work, args=(settings, load, sock, memory, loaded), name="hashgen worker")
        with _later_interrupts():
            worker.start()
        return worker

    manager = _Manager(ctx=context)
    with _later_interrupts():
        manager.start(_end_with_parent)
    with tempfile.TemporaryDirectory(prefix="hashgen-") as figures, manager:
        os.environ[FOLDER] = figures
        memory = manager.memory()  # type: ignore[attr-defined]
        try:
            workers.extend(begin() for _ in range(settings.workers))
            missing = settings.workers
            while missing:
                if wait([worker.sentinel for worker in workers], timeout=0.1):
                    raise HashgenError(f"{settings.model}: a worker ended while it loaded; its message is above")
                while missing and loaded.acquire(block=False):
                    missing -= 1
            ready()
            while True:
                wait([worker.sentinel for worker in workers])
                for place, worker in enumerate(workers):
                    if not worker.is_alive():
                        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
                        logging.getLogger(__name__).warning("a worker ended (%s); another begins", worker.exitcode)
                        worker.close()
                        workers[place] = begin()
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.join(_GRACE_SECONDS + 5)


@contextlib.contextmanager
def _later_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back for a moment. Processes that begin in it never hear it: the one that begins them ends them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _end(*_: object) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """End this process when the one that began it is gone, however that ended: it would keep the port."""

    def watch() -> None:
        if parent := multiprocessing.parent_process():
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _work(settings: Settings, load: Load, sock: socket.socket, memory: Pictures, loaded: Semaphore) -> None:
    """One worker. The process that began it says when it ends."""
    _end_with_parent()
    try:
        _answer(settings, load, sock, Shared(memory), lambda: loaded.release())
    except HashgenError as error:
        logging.getLogger(__name__).error("%s", error)
        raise SystemExit(error.exit_code) from None
