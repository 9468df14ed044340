"""Templates: what the pages and cards share, and the error for values missing from the metrics."""

import jinja2

from hashgen.base.errors import HashgenError
from hashgen.report.markdown import cell, code, escape

# Parts that templates share: the frame of a page, and the section on privacy of both cards.
_SHARED = {"layout": "layout.html", "deletion": "deletion.md"}


def render(name: str, **context: object) -> str:
    """Fill the template `name` with `context`; text is escaped as HTML or as Markdown, unless it is `Markdown`.

    Raises HashgenError when a value that the template shows is missing from the metrics.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hashgen.report"),
        autoescape=name.endswith(".html"),
        finalize=escape if name.endswith(".md") else None,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"figure": _figure, "count": _count, "percent": _percent, "code": code, "cell": cell}
    shared = {part: environment.get_template(file) for part, file in _SHARED.items()}
    try:
        return environment.get_template(name).render(**shared, **context)
    except (KeyError, jinja2.UndefinedError) as error:
        raise lacking(error) from error


def lacking(error: Exception) -> HashgenError:
    """The error for metrics that lack a value, as metrics of another version may."""
    return HashgenError(f"report: the metrics lack a value ({error}); run the pipeline again: dvc repro -f")


def _figure(value: float | None) -> str:
    """A score: three decimals, a dash for none."""
    return "–" if value is None else f"{value:.3f}"


def _count(value: float) -> str:
    return f"{value:,}"


def _percent(value: float) -> str:
    """A share as a percentage with one decimal where it is not whole."""
    text = f"{100 * value:.1f}"
    return f"{text.removesuffix('.0')}\N{NO-BREAK SPACE}%"
