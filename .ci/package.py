"""Make the source distribution of the last commit in `dist/`, and check it.

    python .ci/package.py [REPOSITORY]

README's links and pictures are relative, so that they work in every clone; on a
package index they would lead nowhere. In the copy that is packed they lead to
``REPOSITORY``, the address of this project on a site laid out as GitHub is, at the tag
of the version, and the metadata has the project's addresses. Without an argument,
GitHub's workflows say which repository it is; without either, links stay as they are.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
RELATIVE = re.compile(r"(!?)(\[[^\]]*\]\()(?!https?:|#)([^)]+\))")


def absolute_links(text: str, repository: str, ref: str) -> str:
    """Return Markdown text whose relative links and pictures lead to a repository."""

    def absolute(match: re.Match[str]) -> str:
        picture, label, target = match.groups()
        kind = "raw" if picture else "blob"
        return f"{picture}{label}{repository}/{kind}/{ref}/{target}"

    return RELATIVE.sub(absolute, text)


def urls(repository: str, ref: str) -> str:
    """Return the table of pyproject.toml that holds the project's addresses."""
    return f"""
[project.urls]
Repository = "{repository}"
Documentation = "{repository}/blob/{ref}/README.md"
Changelog = "{repository}/blob/{ref}/CHANGELOG.md"
Issues = "{repository}/issues"
"""


def main() -> None:
    repository = "".join(sys.argv[1:2])
    if not repository and "GITHUB_REPOSITORY" in os.environ:
        repository = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}".format(**os.environ)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        archive = subprocess.check_output(["git", "archive", "HEAD"], cwd=ROOT)
        subprocess.run(["tar", "-xC", copy], input=archive, check=True)
        readme, pyproject = copy / "README.md", copy / "pyproject.toml"
        metadata = pyproject.read_text("utf-8")
        version = re.search(r'^version = "(.+)"$', metadata, re.M)
        assert version is not None
        if repository:
            place = repository.rstrip("/"), f"v{version[1]}"
            pyproject.write_text(metadata + urls(*place), "utf-8")
            readme.write_text(
                absolute_links(readme.read_text("utf-8"), *place), "utf-8"
            )
        build = [sys.executable, "-m", "build", "--sdist", "--outdir", ROOT / "dist"]
        subprocess.run([*build, copy], check=True)
    made = ROOT / "dist" / f"fastrnn-{version[1]}.tar.gz"
    subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", made], check=True
    )


if __name__ == "__main__":
    main()
