"""The pages of the site (mkdocs.yml): those of docs/, and whatever else in the repository they link to.

Links in the documents are those of the repository, so that they work in its file view, too; here they become links of
the site. The navigation is the table of documents in README.md.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
README = "README.md"
DOCS, SOURCE = "docs/", "source/"
NAMED = {README: "index.md", "benchmarks/README.md": "benchmarks.md"}
LANGUAGES = {".py": "python", ".yaml": "yaml", ".cff": "yaml"}
LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)")
OF_PAGE: dict[str, str] = {}
"""The document in the repository behind each page outside of docs/."""


def on_config(config: MkDocsConfig) -> None:
    """Take the navigation from README.md: a section for each column of its table of documents."""
    _, _, text = (ROOT / README).read_text(encoding="utf-8").partition("\n## Documents\n")
    titles, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    )
    config.nav = [{"Overview": page_of(README)}]
    for title, cells in zip(titles, zip(*rows, strict=True), strict=True):
        links = [re.fullmatch(r"\[(.+)\]\((.+)\)", cell) for cell in cells if cell]
        config.nav.append({title.capitalize(): [{link[1]: page_of(link[2])} for link in links if link]})


def page_of(document: str) -> str:
    """The place in the site of a file of the repository; code becomes a page, too."""
    if document.startswith(DOCS):
        return document.removeprefix(DOCS)
    path = Path(document)
    if path.parent == Path() and path.suffix == ".md":
        return NAMED.get(document, document.lower())
    return NAMED.get(document, f"{SOURCE}{document}" if path.suffix == ".md" else f"{SOURCE}{document}.md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of what the documents link to outside of docs/."""
    waiting = [README, *(f"{DOCS}{file.src_uri}" for file in files.documentation_pages())]
    seen = {*waiting}
    while waiting:
        document = waiting.pop()
        text = (ROOT / document).read_text(encoding="utf-8")
        if not document.startswith(DOCS):
            OF_PAGE[page_of(document)] = document
            shown = InclusionLevel.NOT_IN_NAV if page_of(document).startswith(SOURCE) else InclusionLevel.INCLUDED
            content = _content(document, text)
            files.append(File.generated(config, page_of(document), content=content, inclusion=shown))
        further = {*targets(document, text)} - seen if document.endswith(".md") else set()
        waiting += [target for target in further if not target.startswith(DOCS)]
        seen |= further
    return files


def targets(document: str, text: str) -> Iterator[str]:
    """The files of the repository that a document links to."""
    for link in LINK.findall(text):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(document), link))
        if (ROOT / target).is_file():
            yield target


def _content(document: str, text: str) -> str:
    if document.endswith(".md"):
        return text
    language = LANGUAGES.get(Path(document).suffix, "text")
    return f"---\nsearch: {{exclude: true}}\n---\n# {document}\n\n~~~~{language}\n{text}\n~~~~\n"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links of the repository into links of the site."""
    own = page.file.src_uri
    document = OF_PAGE.get(own, f"{DOCS}{own}")
    if not document.endswith(".md"):
        return markdown

    def link(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(document), found[1]))
        return posixpath.relpath(page_of(target), posixpath.dirname(own) or ".")

    return LINK.sub(link, markdown)
