"""Does every link in a built site lead to a page, and to a place on it?

    python docs/_ext/links.py build/site

Prints those that do not. Links to other sites are not followed.
"""

from __future__ import annotations

import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links of a page, and the places that links can lead to."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.places: set[str] = {"", "top"}
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take down addresses and names."""
        for name, value in attrs:
            if name in {"href", "src"} and value:
                self.links.add(value)
            elif name == "id" or (name == "name" and tag == "a"):
                self.places.add(value or "")


read = cache(Page)


def broken_links(site: Path) -> list[str]:
    """Return a line for each link within a site that leads nowhere."""
    found = []
    for file in sorted(set(site.rglob("*.html")) - set(site.glob("_static/**/*"))):
        for link in sorted(read(file).links):
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            path = unquote(address.path)
            target = (file.parent / path).resolve() if path else file.resolve()
            if target.is_dir():
                target /= "index.html"
            place = unquote(address.fragment)
            if not target.is_file():
                found.append(f"{file.relative_to(site)}: {link}: no such page")
            elif target.suffix == ".html" and place not in read(target).places:
                found.append(f"{file.relative_to(site)}: {link}: no such place")
    return found


def main() -> None:
    """Check a site, and fail if a link leads nowhere."""
    site = Path(sys.argv[1])
    if not (site / "index.html").exists():
        sys.exit(f"{site}: expected a site with index.html, got none")
    if lines := broken_links(site):
        sys.exit("\n".join(lines))
    print("all links within the site lead somewhere")


if __name__ == "__main__":
    main()
