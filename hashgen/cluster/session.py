"""A Ray cluster, and work that Ray Data spreads over it: what `hashgen.base.workers` is to one machine."""

import contextlib
import logging
import os
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any, TypeVar

from hashgen.base.errors import HashgenError
from hashgen.base.optional import optional

Job = TypeVar("Job")
Result = TypeVar("Result")
# What kills every worker that tries it would never end.
_ATTEMPTS = 5
# Workers that share a GPU: while one decodes pictures, others encode.
_ON_A_GPU = 4


def over_cluster(
    make: Callable[[], Callable[[Job], Iterable[Result]]],
    jobs: Sequence[Job],
    *,
    stage: str,
    ordered: bool,
    workers: int | None = None,
    device: str = "cpu",
) -> Iterator[Result]:
    """Yield what each job results in, as soon as it is there; if `ordered`, in the order of the jobs.

    make: called once by each worker, gives the function that it calls for each job. ordered: results then wait for
    those before them, and a kill loses what waits. workers: how many; by default one a core of the cluster, or a few
    for each GPU if it has some and `device` (auto, cpu, cuda) is not cpu. Jobs, results and `make` must be picklable.
    What is in the jobs travels; pictures should not be: a worker reads them itself.
    A job whose worker dies is done again by another one, and must then yield the same. Raises the HashgenError of a
    worker, and HashgenError when there is no cluster or its workers keep dying.
    """
    ray = _connect()
    if not jobs:
        return
    count, share = _workers(ray.cluster_resources(), workers, device)
    attempts = ray.remote(num_cpus=0)(_Attempts).remote()
    with _faults(ray, stage):
        found = _dataset(_worker(make, attempts, stage), jobs, ordered, min(count, len(jobs)), share)
        # A block is what a worker yielded once: without reading ahead, what is here has not waited to be remembered.
        for block in found.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            for data in block["result"]:
                result = pickle.loads(data)
                if isinstance(result, HashgenError):
                    raise result
                yield result


def _dataset(worker: type, jobs: Sequence[Any], ordered: bool, count: int, share: float) -> Any:
    data = optional("ray.data", "--engine ray")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False  # the stage shows its own
    context.execution_options.preserve_order = ordered
    # Each result is a block of its own, handed over at once and not when the whole job is done.
    context.target_max_block_size = 1
    rows = [{"number": number, "job": pickle.dumps(job)} for number, job in enumerate(jobs)]
    return data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        worker,
        batch_size=1,
        compute=data.ActorPoolStrategy(min_size=1, max_size=count, initial_size=count),
        num_cpus=1,
        num_gpus=share,
    )


class _Attempts:
    """How often each job was begun: Ray begins it again whenever its worker has died, without end."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()

    def begin(self, job: int) -> int:
        self._begun[job] += 1
        return self._begun[job]


def _worker(make: Callable[[], Callable[[Any], Iterable[Any]]], attempts: Any, stage: str) -> type:
    """The class of the workers: made once, then called for each job. Ray Data wants a class, and sends it by value."""

    class Worker:
        def __init__(self) -> None:
            try:
                self.work = make()
                self.fault: HashgenError | None = None
            except HashgenError as error:
                self.fault = error

        def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
            # A HashgenError is a result like others: raised here, Ray would print its traceback.
            try:
                if self.fault:
                    raise self.fault
                for number, job in zip(batch["number"], batch["job"], strict=True):
                    if optional("ray", "--engine ray").get(attempts.begin.remote(int(number))) > _ATTEMPTS:
                        raise HashgenError(
                            f"{stage}: {_ATTEMPTS} workers died over the same job, probably out of memory; use fewer "
                            "with --workers"
                        )
                    for result in self.work(pickle.loads(job)):
                        yield {"result": [pickle.dumps(result)]}
            except HashgenError as error:
                yield {"result": [pickle.dumps(error)]}

    return Worker


def _connect() -> ModuleType:
    """Ray, connected to the cluster that RAY_ADDRESS names, or to one that is started here for this process."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Its processes say what kills them; what a worker does wrong is said in the stage's own words.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    ray = optional("ray", "--engine ray")
    if ray.is_initialized():
        return ray
    address = os.environ.get("RAY_ADDRESS")
    own = {} if address else {"include_dashboard": False}
    try:
        ray.init(address=address or "local", logging_level=logging.ERROR, log_to_driver=False, **own)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        where = f"RAY_ADDRESS={address}" if address else "--engine ray"
        raise HashgenError(
            f"{where}: no Ray cluster to work on ({_first_line(error)}); see that it runs (ray start --head), that "
            "this machine has its token (RAY_AUTH_TOKEN), and RAY_ADDRESS; or unset that to use this machine"
        ) from error
    return ray


def _workers(resources: dict[str, float], workers: int | None, device: str) -> tuple[int, float]:
    """How many workers, and the share of a GPU that each needs."""
    cores, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    if device == "cuda" and not gpus:
        raise HashgenError("--device cuda: no machine of the Ray cluster has a GPU; use --device cpu or auto")
    if device == "cpu" or not gpus:
        return workers or max(1, cores), 0
    count = workers or max(1, min(cores, _ON_A_GPU * gpus))
    # Ray counts in ten thousandths; more than one GPU is of no use to a worker.
    return count, min(1.0, int(10_000 * gpus / count) / 10_000)


@contextlib.contextmanager
def _faults(ray: ModuleType, stage: str) -> Iterator[None]:
    """Turn what Ray says of dead workers and machines into a HashgenError."""
    try:
        yield
    except ray.exceptions.RayTaskError:
        raise  # what a worker's own code raised: a bug, which keeps its traceback
    except ray.exceptions.RayError as error:
        raise HashgenError(
            f"{stage}: Ray could not go on ({_first_line(error)}); workers may be out of memory: use fewer with "
            "--workers; then run the same command again"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
