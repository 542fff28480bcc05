"""Reports: well-formed, self-contained, true to the metrics, and whole in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from html import unescape
from pathlib import Path

import pytest

import relgraph
from relgraph.errors import AdapterError, ProtocolError
from tests.cli.tools import document
from tests.cli.tools import run as shell

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# what a person would see: pictures that are not there, words cut off by their picture, a page wider than the window
LOOK = """
<script>addEventListener("load", () => {
  const bad = [];
  for (const svg of document.querySelectorAll("svg")) {
    const box = svg.getBoundingClientRect();
    if (box.width < 20 || box.height < 10) bad.push("no room: " + svg.querySelector("title").textContent);
    for (const text of svg.querySelectorAll("text")) {
      const inner = text.getBoundingClientRect();
      if (inner.left < box.left - 1 || inner.right > box.right + 1 || inner.bottom > box.bottom + 1)
        bad.push("cut off: " + text.textContent);
    }
  }
  const links = [...document.querySelectorAll("nav a")].filter(a => !document.querySelector(a.getAttribute("href")));
  const out = {bad, dead: links.length, sections: document.querySelectorAll("section").length,
    pictures: document.querySelectorAll("svg").length, heading: document.querySelector("h1").textContent};
  document.body.innerHTML = "<pre>" + JSON.stringify(out).replaceAll("&", "&amp;").replaceAll("<", "&lt;") + "</pre>";
});</script></body>"""


def parsed(page: Path) -> ElementTree.Element:
    return ElementTree.fromstring(page.read_text(encoding="utf-8").partition("\n")[2])


def seen(page: Path, folder: Path) -> dict:
    """What a headless browser makes of a page."""
    browser = next((b for b in BROWSERS if shutil.which(b)), None)
    if browser is None:
        if os.environ.get("RELGRAPH_REQUIRE_BROWSER"):
            pytest.fail(f"none of {', '.join(BROWSERS)} is installed")
        pytest.skip("there is no Chromium")
    looked = folder / "looked.html"
    looked.write_text(page.read_text(encoding="utf-8").replace("</body>", LOOK), encoding="utf-8")
    words = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    words += ["--window-size=1100,900", "--virtual-time-budget=2000", "--dump-dom", looked.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<pre>(.*)</pre>", done.stdout, re.DOTALL)
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(unescape(found.group(1)))


@pytest.mark.slow
def test_the_page_of_a_link_run(link_run: Path, tmp_path: Path) -> None:
    run = relgraph.load(link_run)
    page = run.report(tmp_path / "new" / "page.html", licence="CC BY 4.0", progress=False)
    root = parsed(page)
    text = " ".join("".join(root.itertext()).split())
    metrics = run.evaluate(progress=False)  # type: ignore[call-arg]
    for expected in (
        "DistMult on works",
        f"{metrics['mrr']:.4f}",
        "CC BY 4.0",
        "a map of entities".capitalize(),
        "p5 works at ?",
    ):
        assert expected in text
    assert len([*root.iter("{http://www.w3.org/2000/svg}svg")]) >= 4
    html = page.read_text(encoding="utf-8")
    for sign in ("src=", "<script", "<link", "@import", "url("):
        assert sign not in html
    assert run.report(tmp_path / "b.html", licence="CC BY 4.0", progress=False).read_text() == html, (
        "it depends on chance"
    )


@pytest.mark.slow
def test_pages_in_a_browser(link_run: Path, row_runs: dict[str, Path], tmp_path: Path) -> None:
    for name, path in {"links of facts": link_run, **row_runs}.items():
        page = relgraph.load(path).report(tmp_path / f"{name}.html", progress=False)
        found = seen(page, tmp_path)
        assert found["bad"] == [], name
        assert found["dead"] == 0
        assert found["sections"] >= 5
        assert found["pictures"] >= 3
        assert found["heading"] == parsed(page).findtext(".//h1")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "regression", "multiclass", "links"])
def test_the_page_of_a_row_run(kind: str, row_runs: dict[str, Path], tmp_path: Path) -> None:
    run = relgraph.load(row_runs[kind])
    root = parsed(run.report(tmp_path / "page.html", progress=False))
    text = " ".join("".join(root.itertext()).split())
    found = run.evaluate(progress=False)
    assert f"{found[run.task.metric]:.4f}" in text  # type: ignore[union-attr]
    assert run.task.regime in text  # type: ignore[union-attr]
    titles = {h.text for h in root.iter("h2")}
    assert {"Metrics", "Training", "The database", "Limits", "Use it"} <= titles
    assert ("Recommendations" if kind == "links" else "Predictions and what happened") in titles
    if kind != "multiclass":
        assert "Why the first" in {h.text for h in root.iter("h3")}


@pytest.mark.slow
def test_the_card_names_data_protocol_and_licence(link_run: Path, row_runs: dict[str, Path], tmp_path: Path) -> None:
    card = relgraph.load(link_run).report(tmp_path / "card.md", progress=False).read_text()
    assert card.startswith("---\nlibrary_name: relgraph\n")
    for expected in (
        "| filter | strict |",
        "| licence | not stated |",
        "| source | works |",
        "## Limits",
        "relgraph.load(",
    ):
        assert expected in card
    card = relgraph.load(row_runs["binary"]).report(tmp_path / "r.md", licence="a|b\n*c*", progress=False).read_text()
    assert "| licence | a\\|b \\*c\\* |" in card
    assert "| regime | seed-time: " in card


@pytest.mark.slow
def test_the_shell_writes_reports(link_run: Path, row_runs: dict[str, Path], tmp_path: Path) -> None:
    found = document("report", link_run, "-o", tmp_path / "a.html", "-q")
    assert found["file"] == str(tmp_path / "a.html")
    assert found["split"] == "test"
    assert parsed(tmp_path / "a.html").findtext(".//h1") == "DistMult on works"
    assert document("report", link_run, "-o", tmp_path / "v.md", "--split", "val", "-q")["split"] == "valid"
    assert "html or .md" in shell("report", link_run, "-o", tmp_path / "a.pdf", code=2).stderr.replace("\n", " ")
    assert "has no split" in shell("report", row_runs["binary"], "-o", tmp_path / "a.md", "--split", "x", code=1).stderr


def test_bad_places_and_endings(link_run: Path, tmp_path: Path) -> None:
    run = relgraph.load(link_run)
    with pytest.raises(ProtocolError, match=r"ends in \.html or \.md"):
        run.report(tmp_path / "a.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(AdapterError, match="choose a writable folder"):
        run.report(tmp_path / "file" / "a.html", progress=False)
