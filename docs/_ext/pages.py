"""Pages made of files that are also read in the repository.

Every relative link in a Markdown file leads to another file of the repository. Here it
leads to that file's page; where it has none, to the repository, whose address is in
`FASTRNN_REPOSITORY` or in the variables of GitHub's workflows. Without one, its text
stays.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"

# In the folder, these only name the file whose text is shown on the site.
OUTSIDE = {
    "benchmarks": "benchmarks/README.md",
    "changes": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "gallery": "examples/README.md",
    "security": "SECURITY.md",
}
# README is no page: the start page is. What other pages cite of it stands elsewhere.
README = {
    "": "index.md",
    "how-fast": "performance.md",
    "use-it-in-a-pytorch-model": "guide/pytorch.md",
}
PAGE_OF = {file: f"{page}.md" for page, file in OUTSIDE.items()}

FENCE = re.compile(r"^( *)(`{3,}|:{3,})[^\n]*\n.*?^\1\2$", re.M | re.S)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!\w+:)([^)#]*)(#[^)]*)?\)")
PART = re.compile(r"<!-- (\S+): (.+) -->")
CODE = re.compile(r"fastrnn(\.\w+)+")
TREE = re.compile(r"^`{3}\{toctree\}\n(.*?)^`{3}$", re.M | re.S)
ROW = re.compile(r"^\| \[`(\w+)\.py`\]\(\w+\.py\) \| ([^|]*) \|", re.M)


def repository() -> str:
    """Return the address of the files in the repository, "" if it is not known."""
    address = os.environ.get("FASTRNN_REPOSITORY", "")
    if not address and "GITHUB_REPOSITORY" in os.environ:
        address = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}".format(**os.environ)
    return address and f"{address}/blob/main/"


def page_of(file: str, anchor: str) -> str:
    """Return the page on which a file of the repository is shown, "" if on none."""
    if file == "README.md":
        return README.get(anchor, "index.md")
    if (program := re.fullmatch(r"examples/([a-z]\w*)\.py", file)) is not None:
        return f"gallery/{program[1]}.md"
    if file.startswith("docs/") and file.endswith(".md"):
        return file.removeprefix("docs/")
    return PAGE_OF.get({"examples": "examples/README.md"}.get(file, file), "")


def rewrite(text: str, file: Path, page: Path) -> str:
    """Return the text of a file with links that work on a page of the site."""

    def link(match: re.Match[str]) -> str:
        picture, label, target, anchor = match.groups(default="")
        path = Path(os.path.normpath(file.parent / target)) if target else file
        if picture:
            return f"![{label}]({os.path.relpath(path, page.parent)})"
        name = str(path.relative_to(ROOT))
        if not target and name != "README.md":
            return match[0]
        if found := page_of(name, anchor[1:]):
            if name == "README.md" and DOCS / found == page:
                return label
            return f"[{label}](/{found}{'' if name == 'README.md' else anchor})"
        address = repository()
        return f"[{label}]({address}{name}{anchor})" if address else label

    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [LINK.sub(link, text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, LINK.sub(link, text[end:])])


def part(match: re.Match[str], page: Path) -> str:
    """Return what stands between two marks of another file."""
    file, name = ROOT / match[1], match[2]
    text = file.read_text("utf-8")
    return rewrite(
        text.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0], file, page
    )


def cards() -> Iterator[str]:
    """Yield the lines of a grid with one card for each program that has a picture."""
    yield "::::{grid} 1 2 2 3\n:gutter: 3\n"
    for name, lesson in ROW.findall((EXAMPLES / "README.md").read_text("utf-8")):
        if (EXAMPLES / "gallery" / f"{name}.png").exists():
            yield f":::{{grid-item-card}} {name}\n:link: gallery/{name}"
            yield f":link-type: doc\n:img-top: ../examples/gallery/{name}.png\n"
            yield f"{lesson}\n:::"
    yield "::::\n"


def others() -> str:
    """Return links to the pages of this folder that no page's tree has, and a tree."""
    named = {
        os.path.normpath(file.parent / f"{word.strip('<>')}.md")
        for file in DOCS.glob("**/*.md")
        for tree in TREE.findall(file.read_text("utf-8"))
        for word in tree.split()
    }
    left = sorted(
        file
        for file in DOCS.glob("*.md")
        if str(file) not in named and file.stem != "index"
    )
    titles = [file.read_text("utf-8").split("\n", 1)[0].lstrip("# ") for file in left]
    lines = ["## How to", ""]
    lines += [f"- [{a}](/{file.name})" for a, file in zip(titles, left, strict=True)]
    lines += ["", "```{toctree}", ":hidden:", ""]
    lines += [*(f"/{file.stem}" for file in left), "```"]
    return "\n".join(lines) if left else ""


def read(app: Sphinx, name: str, source: list[str]) -> None:
    """Fill in what a page shows of other files, and turn its links."""
    if not (page := DOCS / f"{name}.md").exists():
        return
    file, text = page, source[0]
    if name in OUTSIDE:
        file = ROOT / OUTSIDE[name]
        text = file.read_text("utf-8")
    text = rewrite(text, file, page)
    text = text.replace("<!-- other pages -->", others())
    text = PART.sub(lambda match: part(match, page), text)
    if name == "gallery":
        title, rest = text.split("\n", 1)
        tree = "```{toctree}\n:hidden:\n:glob:\n\ngallery/*\n```\n"
        text = "\n".join([title, "", *cards(), "## The programs", rest, tree])
    source[0] = text


def write_programs(app: Sphinx) -> None:
    """Write a page for each example: its lesson, its pictures and its code."""
    folder = DOCS / "gallery"
    folder.mkdir(exist_ok=True)
    for file in sorted(EXAMPLES.glob("[a-z]*.py")):
        program = ast.parse(file.read_text("utf-8"))
        doc = (ast.get_docstring(program) or "").replace("``", "`")
        pictures = [
            f"![](../{os.path.relpath(picture, DOCS)})\n"
            for picture in sorted(EXAMPLES.glob(f"gallery/{file.stem}*.png"))
        ]
        code = [f"```{{literalinclude}} ../../examples/{file.name}"]
        code += [":language: python", f":lines: {program.body[1].lineno}-", "```"]
        lines = [f"# {file.name}", doc, *pictures, "\n".join(code)]
        (folder / f"{file.stem}.md").write_text("\n\n".join(lines) + "\n", "utf-8")


def link_names(app: Sphinx, tree: nodes.document, page: str) -> None:
    """Make each `fastrnn.name` in running text a link to its place in the reference."""
    known = app.env.domains["py"].data["objects"]
    for literal in list(tree.findall(nodes.literal)):
        match = CODE.match(literal.astext())
        if match is None or isinstance(literal.parent, nodes.reference):
            continue
        if (entry := known.get(match[0])) is None or entry.docname == page:
            continue
        address = app.builder.get_relative_uri(page, entry.docname)
        link = nodes.reference("", "", refuri=f"{address}#{entry.node_id}")
        literal.replace_self(link)
        link += literal


def stepper_source(app: Sphinx, module: str) -> tuple[str, dict[str, Any]] | None:
    """Return the stub of the compiled stepper: it has no source in Python."""
    if module != "fastrnn.stepper":
        return None
    text = (ROOT / "src/fastrnn/stepper.pyi").read_text("utf-8")
    return text, ModuleAnalyzer.for_string(text, module).find_tags()


def setup(app: Sphinx) -> dict[str, Any]:
    """Join the events of a build."""
    app.connect("builder-inited", write_programs)
    app.connect("source-read", read)
    app.connect("viewcode-find-source", stepper_source)
    app.connect("doctree-resolved", link_names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
