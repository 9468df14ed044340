"""The model card of a run, in the format of Hugging Face: YAML with a `model-index`, then Markdown."""

from typing import Any

from hashgen.report.findings import Findings
from hashgen.report.layout import lacking, render
from hashgen.report.markdown import Markdown
from hashgen.report.page import versions
from hashgen.report.post_tables import extremes, hashtag_table
from hashgen.report.provenance import licence_head, licences, yaml_head
from hashgen.report.score_tables import COLUMNS, headlines, score_rows

# Types of metrics as Hugging Face names them.
_TYPES = {"f1_at_5": "f1", "p_at_1": "precision", "p_at_5": "precision", "f1": "f1", "bleu4": "bleu"}
_MEANS = {"bleu4": "corpus, sacrebleu with tokenize none"}


def render_model_card(found: Findings) -> str:
    """The card as Markdown; nothing is left to fill in. Raises HashgenError when the metrics lack a value."""
    try:
        evaluate, baselines = found.metrics["evaluate"], found.metrics["baselines"]
        rows, heads = score_rows(evaluate, baselines, "test"), headlines(evaluate, baselines)
        head = _head(found)
    except KeyError as error:
        raise lacking(error) from error
    return render(
        "model_card.md",
        head=Markdown(yaml_head(head)),
        found=found,
        columns=COLUMNS,
        rows=rows,
        headlines=heads,
        test=evaluate["test"],
        licences=licences(found.posts),
        extremes=extremes(hashtag_table(found.manifests["train"], found.test)),
        versions=versions(),
        **found.metrics,
    )


def _head(found: Findings) -> dict[str, Any]:
    test = found.metrics["evaluate"]["test"]["both"]
    metrics = [
        {"type": kind, "name": f"{COLUMNS[key]}, {_MEANS.get(key, 'mean over posts')}", "value": test[key]}
        for key, kind in _TYPES.items()
    ]
    source = found.metrics["scrape"]["source"]
    dataset = {"name": f"hashgen posts ({source})", "type": f"hashgen-{source}", "split": "test"}
    result = {
        "task": {"type": "image-to-text", "name": "Hashtag generation from picture and caption"},
        "dataset": dataset,
        "metrics": metrics,
    }
    # Weights trained on synthetic posts and nothing else belong to the project.
    own = found.is_sample and found.random_weights and not found.metrics["vocab"].get("glove")
    return {
        "language": list(found.languages),
        **({"license": "mit"} if own else _learnt_licence(found)),
        "library_name": "hashgen",
        "pipeline_tag": "image-to-text",
        "tags": ["hashtag-generation", "social-media", "multimodal", *(["synthetic"] if found.is_sample else [])],
        "model-index": [{"name": "hashgen", "results": [result]}],
    }


def _learnt_licence(found: Findings) -> dict[str, str]:
    head = licence_head(licences(found.posts))
    name = head.get("license_name", head["license"])
    return {"license": "other", "license_name": f"learnt-from-posts-{name}"}
