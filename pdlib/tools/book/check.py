"""What a reader would stumble over: links without a target, pictures without words, anything
fetched from another host.
"""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}


class _Page(HTMLParser):
    """ids, links and loaded addresses of a page, and its pictures without words."""

    def __init__(self, path: Path):
        super().__init__()
        self.ids, self.links, self.loaded, self.wordless, self.pictures = set(), [], [], [], 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if (
            tag in LOADED
            and found.get(LOADED[tag])
            and found.get("rel") not in ("canonical", "next", "prev")
        ):
            self.loaded.append(found[LOADED[tag]])
        if tag == "img":
            self.pictures += 1
            if not (found.get("alt") or "").strip():
                self.wordless.append(found.get("src", "")[:60])


def faults(folder: Path) -> list[str]:
    """One line a fault of the site in `folder`: missing targets and anchors, pictures without alt
    text, loads from another host.
    """
    pages = {
        path: _Page(path) for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts
    }  # the theme keeps templates there
    if not pages:
        return [f"{folder} has no page"]
    found = []
    for path, page in pages.items():
        name = path.relative_to(folder).as_posix()
        found += [f"{name}: a picture has no alt text: {source}" for source in page.wordless]
        found += [
            f"{name}: loads {address} from another host"
            for address in page.loaded
            if urlsplit(address).netloc
        ]
        for address in dict.fromkeys(page.links + page.loaded):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:  # another site, an e-mail, data in the page itself
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                found.append(f"{name}: no file behind {address}")
            elif (
                parts.fragment
                and target in pages
                and unquote(parts.fragment) not in pages[target].ids
            ):
                found.append(f"{name}: no anchor behind {address}")
    return found
