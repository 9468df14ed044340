"""The API and the page, as an ASGI application."""

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from hashgen import __version__
from hashgen.base.errors import HashgenError
from hashgen.serving import schema
from hashgen.serving.core import Core
from hashgen.serving.examples import Sample
from hashgen.serving.figures import Figures
from hashgen.serving.guard import Body, Guard
from hashgen.serving.live import Live
from hashgen.serving.memory import Memory, Pictures
from hashgen.serving.pool import Busy, Pool
from hashgen.serving.uploads import MAX_BYTES, MAX_PIXELS, BadUpload, check_upload
from hashgen.suggesting.platforms import PLATFORMS

_log = logging.getLogger(__name__)

_PAGE = Path(__file__).parent / "page"
_FILES = {"/": "index.html", "/page.css": "page.css", "/page.js": "page.js", "/icon.svg": "icon.svg"}
_BODIES = {"/api/pictures": Body(MAX_BYTES, "image/"), "/api/suggest": Body(256 * 2**10, "application/json")}
_PICTURE_TYPES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/tiff", "image/avif")
_LOOK_SECONDS = 2.0
_PROBLEMS = {
    400: "The body is not what its headers say.",
    403: "The Host or Origin is not this server's.",
    404: "No such thing, or no longer.",
    408: "The body took too long to arrive.",
    413: "Too large.",
    415: "Of another type.",
    422: "Something in it is wrong; the message says what.",
    503: "Not ready yet, or too busy; Retry-After says for how long.",
}


@dataclasses.dataclass(frozen=True)
class Bounds:
    """What the server takes on at once.

    encoders, suggesters: threads for each. waiting_pictures, waiting: how many requests wait for them, past which the
    answer is 503. uploads: how many bodies arrive at once. body_seconds: how long one may take to arrive.
    work_seconds: how long a picture, or a suggestion, may take with its waiting.
    """

    encoders: int = 2
    suggesters: int = 1
    waiting_pictures: int = 48
    waiting: int = 128
    uploads: int = 64
    body_seconds: float = 30.0
    work_seconds: float = 10.0


def create_app(
    live: Live,
    *,
    pictures: Pictures | None = None,
    hosts: Collection[str] = (),
    samples: Callable[[], list[Sample]] = list,
    bounds: Bounds = Bounds(),  # noqa: B008 (frozen)
    started: Callable[[Exception | None], None] = lambda _: None,
    look_seconds: float = _LOOK_SECONDS,
) -> FastAPI:
    """The application. It answers 503 until `live` has loaded its model, which starts with it.

    pictures: where features are kept. hosts: names of the server besides those of loopback. samples: reads the example
    posts, when they are first asked for. started: called once, when the model is loaded, or with why it was not.
    look_seconds: how often to look for another model in the folder.
    """
    kept = Memory() if pictures is None else pictures
    encoding = Pool(bounds.encoders, bounds.waiting_pictures, bounds.work_seconds)
    suggesting = Pool(bounds.suggesters, bounds.waiting, bounds.work_seconds)
    figures = Figures()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(_keep_live(live, kept, figures, started, look_seconds))
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        encoding.close()
        suggesting.close()

    app = FastAPI(
        title="hashgen",
        version=__version__,
        summary="Hashtags for a photo and its caption.",
        docs_url=None,  # they load from a CDN
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(
        Guard,
        hosts=hosts,
        bodies=_BODIES,
        seconds=bounds.body_seconds,
        uploads=bounds.uploads,
        count=figures.count,
    )
    _add_suggestions(app, live, kept, encoding, suggesting)
    _add_examples(app, samples)
    _add_state(app, live, figures, {"pictures": encoding, "suggestions": suggesting})
    for path, name in _FILES.items():
        app.add_route(path, _file(name), methods=["GET"], include_in_schema=False)
    _describe_upload(app)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    return app


async def _keep_live(
    live: Live,
    kept: Pictures,
    figures: Figures,
    started: Callable[[Exception | None], None],
    look_seconds: float,
) -> None:
    """Load the model, then look for another one, and forget old pictures, until cancelled."""
    try:
        await live.open()
    except Exception as error:
        started(error)
        return
    started(None)
    while True:
        await asyncio.sleep(look_seconds)
        if await live.check():
            _log.warning("another model was written to the folder; it answers from now on")
        figures.pictures.set(await asyncio.to_thread(kept.purge))


def _ready(live: Live) -> Core:
    if live.core is None:
        raise HTTPException(503, "the model is being loaded; try again in a few seconds", {"Retry-After": "2"})
    return live.core


def _add_suggestions(app: FastAPI, live: Live, kept: Pictures, encoding: Pool, suggesting: Pool) -> None:
    """Pictures, suggestions, and what may be asked for."""

    @app.post("/api/pictures", response_model=schema.Uploaded, responses=_refusals(400, 403, 408, 413, 415, 422, 503))
    async def upload(request: Request) -> Response:
        """Encode a picture and keep its features in memory, for an hour after their last use; never on disk."""
        core, version = _ready(live), live.version
        data = await request.body()
        with _answered():
            picture = await encoding.run(_encode, core, data)
        return JSONResponse({"picture": await asyncio.to_thread(kept.put, picture, version)})

    @app.post("/api/suggest", response_model=schema.Reply, responses=_refusals(400, 403, 404, 408, 413, 415, 422, 503))
    async def suggest(ask: schema.Ask) -> Response:
        """Hashtags for a picture, a caption, or both."""
        core, version = _ready(live), live.version
        with _answered():
            answer = await suggesting.run(_suggest, core, kept, version, ask)
        answer["warnings"] = [*answer["warnings"], *live.warnings]
        return JSONResponse(answer)

    @app.get("/api/about", response_model=schema.About, responses=_refusals(403, 503))
    async def about() -> Response:
        """What the model learnt from, the platforms, and what a request may hold."""
        core = _ready(live)
        limits = schema.Limits(
            picture_bytes=MAX_BYTES, picture_pixels=MAX_PIXELS, caption=schema.MAX_CAPTION, tags=schema.MAX_TAGS
        )
        model = {**core.about, "warnings": [*core.about["warnings"], *live.warnings]}
        return JSONResponse({"model": model, "platforms": _platforms(), "limits": limits.model_dump()})


def _add_examples(app: FastAPI, samples: Callable[[], list[Sample]]) -> None:
    """Example posts, which are read when they are first asked for."""
    examples: list[Sample] | None = None
    reading = asyncio.Lock()

    async def read_examples() -> list[Sample]:
        nonlocal examples
        async with reading:
            if examples is None:
                examples = await asyncio.to_thread(samples)
        return examples

    @app.get("/api/examples", response_model=list[schema.Example], responses=_refusals(403))
    async def list_examples() -> Response:
        """Posts of the test split to try; none where the run's data are not there."""
        found = await read_examples()
        return JSONResponse(
            [{"caption": one.caption, "picture": f"/api/examples/{place}"} for place, one in enumerate(found)]
        )

    @app.get(
        "/api/examples/{place}",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}, **_refusals(403, 404, 422)},
    )
    async def example_picture(place: int) -> Response:
        """The picture of an example."""
        found = await read_examples()
        if not 0 <= place < len(found):
            raise HTTPException(404, "no such example; GET /api/examples lists them")
        return Response(found[place].jpeg, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


def _add_state(app: FastAPI, live: Live, figures: Figures, pools: Mapping[str, Pool]) -> None:
    """Whether the server is ready, and how busy it is."""

    @app.get("/healthz", response_model=schema.Status, responses=_refusals(403, 503))
    async def healthz() -> Response:
        """200 once the model is loaded, 503 before."""
        _ready(live)
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, **_refusals(403)})
    async def metrics() -> Response:
        """Figures in Prometheus' text format."""
        for name, pool in pools.items():
            figures.waiting.labels(name).set(pool.held)
        return figures.page()


def _encode(core: Core, data: bytes) -> Any:
    check_upload(data)
    return core.encode(data)


def _suggest(core: Core, kept: Pictures, version: str, ask: schema.Ask) -> dict[str, Any]:
    picture = None
    if ask.picture is not None:
        picture = kept.get(ask.picture, version)
        if picture is None:
            raise HTTPException(404, "picture: not known, or no longer; send it to /api/pictures again")
    return core.suggest(picture, **ask.model_dump(exclude={"picture"})).to_json()


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    """Turn what work may raise into what HTTP says."""
    try:
        yield
    except Busy:
        raise HTTPException(503, "too busy; try again in a second", {"Retry-After": "1"}) from None
    except TimeoutError:
        raise HTTPException(503, "this took too long; try again, or a smaller picture", {"Retry-After": "5"}) from None
    except BadUpload as error:
        raise HTTPException(error.status, str(error)) from error
    except HashgenError as error:
        raise HTTPException(422, str(error)) from error


def _platforms() -> list[dict[str, Any]]:
    return [dataclasses.asdict(platform) for platform in PLATFORMS.values()]


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": schema.Problem, "description": _PROBLEMS[status]} for status in statuses}


def _describe_upload(app: FastAPI) -> None:
    """The body of an upload for the schema: FastAPI knows none for a handler that reads bytes itself."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    for route in app.routes:
        if getattr(route, "path", "") == "/api/pictures":
            route.openapi_extra = {  # type: ignore[attr-defined]
                "requestBody": {"required": True, "content": dict.fromkeys(_PICTURE_TYPES, binary)}
            }


def _file(name: str) -> Callable[[Request], Any]:
    async def answer(_: Request) -> Response:
        return FileResponse(_PAGE / name, headers={"Cache-Control": "no-cache"})

    return answer


# What Starlette and FastAPI say, and what we say instead. A body that is no JSON may be told so in several ways.
_SAID = {
    "Not Found": (404, "no such path"),
    "Method Not Allowed": (405, "no such method here"),
    "There was an error parsing the body": (422, "the body is not JSON"),
}


async def _on_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status, message = _SAID.get(error.detail, (error.status_code, error.detail))
    return JSONResponse({"error": message}, status, error.headers)


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"error": "; ".join(_said(fault) for fault in error.errors())}, 422)


def _said(fault: Mapping[str, Any]) -> str:
    """One fault of a request: where, and what. Never the value itself."""
    if fault["type"] == "json_invalid":
        return "the body is not JSON"
    # body, caption → caption; body, tags, 3 → tags[3]
    where = ".".join(str(part) for part in fault["loc"][1:] if isinstance(part, str))
    place = "".join(f"[{part}]" for part in fault["loc"][1:] if isinstance(part, int))
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        where, message = "body", "a key that is not known"
    return f"{where or 'body'}{place}: {message[:1].lower()}{message[1:]}"
