"""The closing box: which figures it shows, and how it is drawn."""

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from hashgen.base.errors import HashgenError
from hashgen.report.summary import NEXT, WIDTH, draw_box, print_summary, summarise


def block(f1: float, bleu4: float) -> dict[str, Any]:
    scores = {"posts": 1234, "p_at_1": f1, "p_at_5": f1, "f1_at_5": f1, "f1_at_5_ci95": [f1 - 0.01, f1 + 0.01]}
    return scores | {"f1": f1, "f1_ci95": [f1 - 0.01, f1 + 0.01], "bleu4": bleu4, "bleu4_ci95": [0.0, bleu4]}


def metrics(ceiling: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    test = {"both": block(0.7, 0.4), "no_image": block(0.3, 0.1), "no_caption": block(0.2, 0.05)}
    known = {"both": {"f1_at_5": 0.8, "f1": 0.8, "bleu4": 0.5}, "neither": {"f1": 0.1, "bleu4": 0.0}}
    baselines = {"popularity": block(0.15, 0.0), "knn_both": block(0.45, 0.2), "seeds": block(0.6, 0.0)}
    return {"test": test | {"ceiling": known if ceiling else None}}, {"test": baselines}


def run(tmp_path: Path, evaluate: Any, baselines: Any) -> None:
    paths = [tmp_path / "evaluate.json", tmp_path / "baselines.json"]
    for path, value in zip(paths, (evaluate, baselines), strict=True):
        path.write_text(json.dumps(value))
    print_summary(paths[0], paths[1], Path("reports/report.html"))


def row(lines: list[str], name: str) -> str:
    return next(line for line in lines if line.startswith(name))


def test_it_shows_the_score_the_ceiling_the_blind_ones_the_report_and_four_commands() -> None:
    lines = summarise(*metrics(), Path("reports/report.html"))
    assert "1,234 test posts" in lines[0]
    assert row(lines, "model").split() == ["model", "0.700", "[0.690,", "0.710]", "0.700", "0.400"]
    assert row(lines, "ceiling").split() == ["ceiling", "0.800", "-", "0.500"]
    assert "0.300 [0.290, 0.310]" in row(lines, "without picture")
    assert "0.200 [0.190, 0.210]" in row(lines, "without caption")
    assert row(lines, "best baseline").split()[2:4] == ["0.450", "[0.440,"]
    assert not any("not clearly better" in line or "WORSE" in line for line in lines)
    assert row(lines, "report").endswith("reports/report.html")
    assert [line.strip() for line in lines[-4:]] == list(NEXT)
    assert max(map(len, lines)) <= WIDTH - 4


def test_on_real_posts_the_best_baseline_stands_for_the_ceiling_and_no_oracle() -> None:
    lines = summarise(*metrics(ceiling=False), Path("reports/report.html"))
    assert not any(line.startswith("ceiling") for line in lines)
    assert "0.450 [0.440, 0.460]" in row(lines, "best baseline")
    assert row(lines, "best baseline by") == "best baseline by F1@5: nearest posts (picture and caption)"
    assert max(map(len, lines)) <= WIDTH - 4


@pytest.mark.parametrize(
    ("own", "told"),
    [(0.45, "the model is not clearly better than the best baseline"), (0.2, "the model is WORSE than")],
)
def test_a_model_that_a_baseline_equals_is_not_recommended_without_a_word(own: float, told: str) -> None:
    evaluate, baselines = metrics()
    evaluate["test"]["both"] = block(own, 0.4)
    assert any(line.startswith(told) for line in summarise(evaluate, baselines, Path("report.html")))


@pytest.mark.parametrize(
    ("interval", "told"),
    [
        ([0.001, 0.02], None),
        ([-0.001, 0.02], "the model is not clearly better than the best baseline"),
        ([-0.02, -0.001], "the model is WORSE than the best baseline: its suggestions are not to be trusted"),
    ],
)
def test_the_difference_on_the_same_posts_decides_where_it_is_known(interval: list[float], told: str | None) -> None:
    """The intervals of the two scores, 0.46 and 0.45, overlap in each case."""
    evaluate, baselines = metrics()
    evaluate["test"]["both"] = block(0.46, 0.4)
    evaluate["test"]["against"] = {"knn_both": {"f1_at_5": {"difference_ci95": interval}}}
    lines = summarise(evaluate, baselines, Path("report.html"))
    assert [line for line in lines if line.startswith("the model is")] == ([told] if told else [])


def test_other_models_stand_below_the_one_that_suggests() -> None:
    evaluate, baselines = metrics()
    others = {"lstm": {"test": {"both": block(0.6, 0.5)}}}
    lines = summarise(evaluate | {"model": "ranker", "others": others}, baselines, Path("report.html"))
    assert [line[:20].strip() for line in lines[3:5]] == ["ranker", "the paper's LSTM"]


def test_a_box_is_of_one_width_and_grows_with_a_long_path() -> None:
    box = draw_box(["short", "", "two words"], "┌─┐│└┘")
    assert {len(line) for line in box} == {WIDTH} and len(box) == 5
    assert box[0][0] == "┌" and box[-1][-1] == "┘" and box[1].startswith("│ short ")
    wide = draw_box(["x" * 200], "+-+|++")
    assert {len(line) for line in wide} == {204}


class Terminal(io.StringIO):
    """What a program sees of a terminal of an encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self.named = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]  # writeable in io, by its stub
        return self.named

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("encoding", "columns", "corner"),
    [("utf-8", 100, "┌"), ("utf-8", WIDTH, "┌"), ("ascii", 100, "+"), ("latin-1", 100, "+"), ("utf-8", 79, "S")],
)
def test_the_frame_is_what_the_terminal_can_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, columns: int, corner: str
) -> None:
    terminal = Terminal(encoding)
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((columns, 24)))
    run(tmp_path, *metrics())
    shown = terminal.getvalue()
    assert shown[0] == corner
    shown.encode(encoding)


def test_off_a_terminal_the_lines_are_plain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, *metrics())
    lines = capsys.readouterr().out.splitlines()
    assert lines == summarise(*metrics(), Path("reports/report.html"))


def test_quiet_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HASHGEN_QUIET", "1")
    run(tmp_path, *metrics())
    assert capsys.readouterr().out == ""


def test_missing_metrics_and_figures_say_what_to_do(tmp_path: Path) -> None:
    missing = tmp_path / "none.json"
    with pytest.raises(HashgenError, match="the stage evaluate creates it"):
        print_summary(missing, missing, missing)
    evaluate, baselines = metrics()
    del evaluate["test"]["no_image"]
    with pytest.raises(HashgenError, match=r"evaluate\.json: lacks a value \('no_image'\); run the pipeline again"):
        run(tmp_path, evaluate, baselines)
    with pytest.raises(HashgenError, match="lacks a value"):
        run(tmp_path, [], baselines)
    with pytest.raises(HashgenError, match="lacks a value"):
        run(tmp_path, metrics()[0], {"test": {"knn_both": None}})
