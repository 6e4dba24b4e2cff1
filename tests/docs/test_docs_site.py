"""The site: it builds without a warning and without network, every link leads somewhere, nothing lies far from the start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from support import documentation

from docs import generate

PAGES = (
    "first-night", "first-alert", "deploy", "nights", "products", "policies", "options", "command-line", "telescopes",
    "architecture", "performance", "reliability", "glossary", "troubleshooting",
)  # fmt: skip
README_LINES = 90


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(
        command,
        cwd=generate.ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_readme_is_short_and_names_the_two_commands():
    text = (generate.ROOT / "README.md").read_text("utf-8")

    assert len(text.splitlines()) <= README_LINES
    assert re.search(r"^make demo\b", text, re.MULTILINE)
    assert re.search(r"^make test\b", text, re.MULTILINE)


def test_the_site_has_every_page_and_no_generated_part_is_left_open(site):
    for name in PAGES:
        assert "generated:" not in (site / f"{name}.html").read_text("utf-8"), name


def test_no_item_of_a_numbered_list_is_lost_in_a_paragraph(site):
    for path in site.glob("*.html"):
        text = re.sub(r"<pre.*?</pre>", "", path.read_text("utf-8"), flags=re.DOTALL)
        assert not re.search(r"\n\d+\. ", text), path.name


def test_a_reader_of_the_site_loads_nothing_from_elsewhere(site):
    loaded = re.compile(
        r"<(?:script|img|iframe)[^>]*\ssrc=\"([^\"]+)\"|<link[^>]*rel=\"stylesheet\"[^>]*href=\"([^\"]+)\""
    )
    for path in site.glob("*.html"):
        found = ["".join(groups) for groups in loaded.findall(path.read_text("utf-8"))]
        assert found
        assert not [address for address in found if urlsplit(address).netloc], path.name


def test_the_built_pages_are_ignored_by_git():
    assert "/site/" in (generate.ROOT / ".gitignore").read_text("utf-8").split()


def test_every_page_is_one_click_from_the_first_one_and_two_from_the_readme():
    readme = documentation.links((generate.ROOT / "README.md").read_text("utf-8"))
    index = documentation.links((generate.DOCS / "index.md").read_text("utf-8"))

    assert "docs/index.md" in readme
    assert {f"{name}.md" for name in PAGES} <= set(index)


def test_the_menu_holds_every_page():
    menu = yaml.safe_load((generate.ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    entries = [entry for top in menu for entry in top.values()]
    listed = {page for entry in entries for page in (_names(entry) if isinstance(entry, list) else [entry])}

    assert listed == {path.name for path in generate.DOCS.glob("*.md")}


@pytest.mark.parametrize("path", documentation.pages(), ids=lambda path: path.name)
def test_every_relative_link_leads_to_a_file_and_a_heading(path):
    text = generate.render(path.read_text("utf-8"))
    broken = [link for link in documentation.links(text) if not urlsplit(link).scheme and not _leads(path, link)]

    assert not broken


def test_a_broken_link_would_be_found(tmp_path):
    assert not _leads(generate.DOCS / "index.md", "no-such-page.md")
    assert not _leads(generate.DOCS / "index.md", "nights.md#no-such-heading")
    assert _leads(generate.DOCS / "index.md", "nights.md#masters")


def _names(entries: list[dict[str, str]]) -> list[str]:
    return [name for entry in entries for name in entry.values()]


def _leads(page: Path, link: str) -> bool:
    place, _, anchor = link.partition("#")
    target = (page.parent / place).resolve() if place else page
    if not target.is_file():
        return False
    return not anchor or anchor in documentation.anchors(generate.render(target.read_text("utf-8")))
