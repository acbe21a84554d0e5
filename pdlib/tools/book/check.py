"""What a reader of the site would stumble over.

Links without a target, pictures without words, and anything that is loaded from another host.
"""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}


class _Page(HTMLParser):
    """ids, links and loaded addresses of a page, and its pictures without words."""

    def __init__(self, path: Path):
        super().__init__()
        self.ids, self.links, self.loaded, self.wordless = set(), [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        address = values.get(LOADED.get(tag))
        if address and values.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(address)
        if tag == "img" and not (values.get("alt") or "").strip():
            self.wordless.append(values.get("src", "")[:60])


def faults(folder: Path) -> list[str]:
    """One line per fault of the site in `folder`, [] when it has none."""
    paths = [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts]
    pages = {path: _Page(path) for path in paths}  # in _static the theme keeps templates
    if not pages:
        return [f"{folder} has no page"]
    lines = []
    for path, page in pages.items():
        name = path.relative_to(folder).as_posix()
        lines += [f"{name}: a picture has no alt text: {source}" for source in page.wordless]
        for address in page.loaded:
            if urlsplit(address).netloc:
                lines.append(f"{name}: loads {address} from another host")
        for address in dict.fromkeys(page.links + page.loaded):
            url = urlsplit(address)
            if url.scheme or url.netloc:  # another site, an e-mail, data in the page itself
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            has_anchor = target not in pages or unquote(url.fragment) in pages[target].ids
            if not target.is_file():
                lines.append(f"{name}: no file behind {address}")
            elif url.fragment and not has_anchor:
                lines.append(f"{name}: no anchor behind {address}")
    return lines
