"""An evaluation as one page that can be sent to anybody: `report.html`.

Nothing in it is loaded from elsewhere: pictures are data URIs, and a policy forbids the rest.
"""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from vit_keras.evaluation.preflight import TEST

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --page: #ffffff; --soft: #57606a;
  --line: #d0d7de; --card: #f6f8fa; --accent: #0a58ca; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --page: #0d1117; --soft: #9da7b3;
  --line: #30363d; --card: #161b22; --accent: #79b8ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; overflow-wrap: anywhere; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; border-bottom: 1px solid var(--line); }
p { max-width: 46rem; }
.soft { color: var(--soft); }
.warning { border-left: .3rem solid #d1242f; padding-left: .75rem; }
.cards { display: grid; gap: .75rem; margin: 1.25rem 0;
  grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); }
.cards > div { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .75rem; }
.cards dt { color: var(--soft); font-size: .85rem; }
.cards dd { margin: 0; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.cards dd small { display: block; font-size: .8rem; color: var(--soft); }
.scroll { overflow: auto; max-height: 34rem; border: 1px solid var(--line); border-radius: .5rem;
  margin: .75rem 0; }
.scroll:focus-visible { outline: 3px solid var(--accent); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .75rem; text-align: right; border-bottom: 1px solid var(--line);
  overflow-wrap: normal; }
th:first-child, td:first-child { text-align: left; min-width: 7.5rem; max-width: 20rem;
  overflow-wrap: break-word; }
.facts td, .facts th { text-align: left; overflow-wrap: anywhere; }
@media (max-width: 40rem) { th, td { padding: .35rem .5rem; font-size: .9rem; } }
thead th { position: sticky; top: 0; background: var(--card); font-weight: 600; }
.picture { overflow-x: auto; margin: .75rem 0; }
.picture:focus-visible { outline: 3px solid var(--accent); }
img { display: block; background: #fff; border-radius: .5rem; max-width: 100%; height: auto;
  min-width: min(34rem, 200%); }
"""


def render_report(report: dict[str, Any], folder: Path) -> str:
    """The report as HTML, with the pictures that lie in `folder`."""
    name = f"Evaluation of {report['run']} on {report['data']['name']}"
    parts = [
        f"<h1>{escape(name)}</h1>",
        _about(report),
        _cards(report),
        *_calibration(report, folder),
        *_classes(report, folder),
        *_mistakes(report, folder),
        *_robustness(report, folder),
        *_sizes(report, folder),
        *_made(report),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(name)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def _about(report: dict[str, Any]) -> str:
    data, model = report["data"], report["model"]
    of_what = " of the test split" if data["split"] == TEST else ", all that there are"
    lines = [
        f'<p class="soft">{report["images"]:,} images{of_what}, '
        f"{escape(str(report['classes']))} classes; {escape(model['file'])}, "
        f"{model['params']:,} parameters, "
        f"images of {escape('x'.join(map(str, model['image_size'])))} pixels, evaluated at "
        f"{escape(report['evaluated_at'])}</p>"
    ]
    if data["note"]:
        lines.append(f'<p class="warning">{escape(data["note"])}</p>')
    return "\n".join(lines)


def _cards(report: dict[str, Any]) -> str:
    calibration = report["calibration"]
    cards = [("Accuracy", _percent(report["accuracy"]), _interval(report["accuracy_interval"]))]
    if report["top5_accuracy"] is not None:
        top5 = _percent(report["top5_accuracy"])
        cards.append(("Top-5 accuracy", top5, _interval(report["top5_interval"])))
    cards += [
        ("Loss", f"{report['loss']:.4f}", "cross-entropy, in nats"),
        ("Macro F1", _score(report["macro_f1"]), "mean of the classes"),
        (
            "Calibration error",
            _percent(calibration["ece_calibrated"]),
            f"{_percent(calibration['ece'])} without temperature",
        ),
    ]
    if report["images_per_second"] is not None:
        cards.append(("Images a second", f"{report['images_per_second']:,.0f}", report["device"]))
    inner = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(note)}</small></dd></div>"
        for name, value, note in cards
    )
    return (
        f'<dl class="cards">{inner}</dl>\n<p class="soft">Intervals are of 95% (Wilson): with '
        "other images of the same kind, the accuracy would most likely lie in there.</p>"
    )


def _calibration(report: dict[str, Any], folder: Path) -> list[str]:
    scores = report["calibration"]
    return [
        "<h2>Is its confidence worth its number?</h2>",
        f"<p>Of the images that the model is 80% sure of, 80% should be right. On average its "
        f"confidence is off by {_percent(scores['ece'])}, and by "
        f"{_percent(scores['ece_calibrated'])} when its logits are divided by the temperature "
        f"{scores['temperature']:.3f}, {escape(scores['temperature_from'])} (expected calibration "
        f"error with {escape(str(scores['bins']))} bins, Guo et al. 2017).</p>",
        _picture(folder / "reliability.png", "Reliability diagrams: accuracy by confidence"),
    ]


def _classes(report: dict[str, Any], folder: Path) -> list[str]:
    rows = [
        (
            row["class"],
            row["images"],
            *(_score(row[name]) for name in ("precision", "recall", "f1")),
        )
        for row in report["per_class"]
    ]
    pairs = [
        (row["class"], row["predicted"], row["images"], _percent(row["share"]))
        for row in report["confused_pairs"]
    ]
    parts = [
        "<h2>Class by class</h2>",
        _table("Scores of each class", ("class", "images", "precision", "recall", "F1"), rows),
        _picture(folder / "confusion.png", "Confusion matrix: a row for each class"),
    ]
    if pairs:
        heads = ("class", "taken for", "images", "of the class")
        parts += ["<p>Most often mistaken:</p>", _table("Confused classes", heads, pairs)]
    return parts


def _mistakes(report: dict[str, Any], folder: Path) -> list[str]:
    if not report["mistakes"]:
        return ["<h2>Mistakes</h2>", "<p>None.</p>"]
    rows = [
        (row["image"], row["class"], row["predicted"], _percent(row["confidence"]))
        for row in report["mistakes"]
    ]
    return [
        "<h2>The surest mistakes</h2>",
        "<p>Images that the model was most sure of and wrong: hard ones, or wrong labels.</p>",
        _picture(folder / "mistakes.png", "The images that were mistaken with most confidence"),
        _table("The surest mistakes", ("image", "class", "predicted", "confidence"), rows),
    ]


def _robustness(report: dict[str, Any], folder: Path) -> list[str]:
    part = report["robustness"]
    kinds = dict.fromkeys(row["corruption"] for row in part["corruptions"])
    rows = []
    for kind in kinds:
        own = [row for row in part["corruptions"] if row["corruption"] == kind]
        numbers = ", ".join(f"{row['amount']:g}" for row in own)
        cells = (_percent(row["accuracy"]) for row in own)
        rows.append((f"{kind} ({own[0]['means']}: {numbers})", _percent(part["clean"]), *cells))
    strengths = dict.fromkeys(row["strength"] for row in part["corruptions"])
    heads = ("corruption", "as it is", *(f"severity {strength}" for strength in strengths))
    return [
        "<h2>With worse images</h2>",
        f"<p>Accuracy on {escape(str(part['images']))} of the images, corrupted as in "
        "Hendrycks &amp; Dietterich 2019; without the temperature, which changes no "
        "prediction.</p>",
        _picture(folder / "robustness.png", "Accuracy by severity of each corruption"),
        _table("Accuracy on corrupted images", heads, rows),
    ]


def _sizes(report: dict[str, Any], folder: Path) -> list[str]:
    if not report["sizes"]:
        return []
    rows = [
        (
            row["image_size"],
            row["patches"],
            _percent(row["accuracy"]),
            _interval(row["accuracy_interval"]),
            f"{row['loss']:.4f}",
        )
        for row in report["sizes"]
    ]
    heads = ("image size", "patches", "accuracy", "95% interval", "loss")
    return [
        "<h2>At other image sizes</h2>",
        f"<p>The same weights, {escape(report['positions'])}.</p>",
        _picture(folder / "sizes.png", "Accuracy by image size"),
        _table("Accuracy by image size", heads, rows),
    ]


def _made(report: dict[str, Any]) -> list[str]:
    rows = [
        ("data", report["data"]["name"]),
        ("fingerprint of the data", report["data"]["fingerprint"]),
        (f"SHA-256 of {report['model']['file']}", report["model"]["sha256"]),
        ("device", report["device"]),
        *report["versions"].items(),
    ]
    return ["<h2>How it was made</h2>", _table("How it was made", ("what", "value"), rows, "facts")]


def _table(
    label: str, heads: Sequence[str], rows: Iterable[Sequence[object]], kind: str = "scores"
) -> str:
    """In a box of its own that scrolls, by keyboard too, so that the page never does sideways."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">'
        f'<table class="{kind}"><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody></table></div>"
    )


def _picture(file: Path, label: str) -> str:
    content = base64.b64encode(file.read_bytes()).decode("ascii")
    return (
        f'<div class="picture" tabindex="0" role="region" aria-label="{escape(label)}, a picture">'
        f'<img src="data:image/png;base64,{content}" alt="{escape(label)}"></div>'
    )


def _percent(share: float) -> str:
    return f"{share:.2%}"


def _interval(bounds: list[float]) -> str:
    return f"{bounds[0]:.2%} to {bounds[1]:.2%}"


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
