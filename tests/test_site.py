"""The documents as a site: built strictly, it needs nothing of others, and its reference is complete."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import sonosynth

PARTS = ("config", "commands.build")
config, commands = (pytest.importorskip(f"mkdocs.{part}", reason="needs sonosynth[docs]") for part in PARTS)
ROOT = Path(__file__).parents[1]
LOADED = {"src", "srcset", "data", "poster", "action"}  # attributes of any element; of <link>, href, too


class Parts(HTMLParser):
    """What a page loads, and what can be linked to in it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given.get("id", "")}
        self.loaded += [value for name, value in given.items() if name in LOADED or (tag, name) == ("link", "href")]
        self.loaded += re.findall(r"url\(([^)]+)\)", given.get("style", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    place = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        commands.build(config.load_config(str(ROOT / "mkdocs.yml"), site_dir=str(place), strict=True))
    return place


def elsewhere(addresses):
    return [address for address in addresses if urlsplit(address.strip("'\" ")).scheme not in ("", "data")
            or address.startswith("//")]  # fmt: skip


def test_no_page_loads_anything_from_another_host(site):
    pages = {page: Parts(page) for page in site.rglob("*.html")}
    assert len(pages) > 25 and all(parts.loaded for parts in pages.values())
    assert {page.name: found for page, parts in pages.items() if (found := elsewhere(parts.loaded))} == {}
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert elsewhere(re.findall(r"(?:url\(|@import )['\"]?([^'\")]+)", text)) == [], style


def test_every_public_name_is_in_the_reference(site):
    ids = Parts(site / "reference.html").ids
    assert {f"sonosynth.{name}" for name in sonosynth.__all__} - ids == set()
    assert {"sonosynth.FinishedRun.verdicts", "sonosynth.Study.run"} <= ids


def test_every_document_is_a_page_and_links_lead_to_it(site):
    home = (site / "index.html").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert f'href="{page.stem}.html"' in home, page
    for name in ("contributing", "changelog", "benchmarks", "source/CITATION.cff"):
        assert f'href="{name}.html"' in home
    assert 'src="images/report.png"' in home
    assert 'href="source/src/sonosynth/sets/copy.py.html"' in (site / "extending.html").read_text(encoding="utf-8")
    code = (site / "source/src/sonosynth/sets/copy.py.html").read_text(encoding="utf-8")
    assert "def open(" in re.sub("<[^>]+>", "", code)


@pytest.mark.parametrize("page", [*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")], ids=lambda page: page.name)
def test_what_belongs_to_an_item_of_a_list_is_indented_by_four_spaces(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    assert re.findall(r"(?m)^ {1,3}(?:[-*]|\d+\.) .*|(?<=\n\n) {1,3}\S.*", text) == []
