"""Chromium from the system's packages against servers on loopback; `make test-browser` runs these
tests, `make test` does not.
"""

import functools
import http.server
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

from pdlib.workbook import runner

ROOT = Path(__file__).resolve().parents[2]
SHOTS = ROOT / "outputs" / "browser"  # screenshots, to be looked at
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
SETTINGS = {  # JupyterLab asks nobody's server for news, and keeps every cell on the page
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}


@pytest.fixture(scope="session")
def browser():
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install '.[browser]'"
    )
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; install the system's package `chromium`")
    options = [
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    ]  # whatever a page asks for, nothing leaves this machine
    options += (
        ["--no-sandbox"] if os.geteuid() == 0 else []
    )  # Chromium refuses to run as root with it
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def output(tmp_path_factory) -> Path:
    """The smoke run that all notebooks share."""
    return tmp_path_factory.mktemp("outputs")


class Watched:
    """A page, and what went wrong on it: errors on the console or in scripts, failed answers,
    requests to another host.
    """

    def __init__(self, browser, home: str, scheme: str = "light"):
        self.page = browser.new_page(viewport={"width": 1400, "height": 1000}, color_scheme=scheme)
        self.wrong: list[str] = []
        self.page.on(
            "console",
            lambda message: (
                message.type == "error" and self.wrong.append(f"console: {message.text}")
            ),
        )
        self.page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        self.page.on(
            "response",
            lambda answer: (
                answer.status >= 400 and self.wrong.append(f"{answer.status}: {answer.url}")
            ),
        )
        self.page.on(
            "request",
            lambda request: (
                request.url.startswith((home, "data:", "blob:", home.replace("http", "ws", 1)))
                or self.wrong.append(f"another host: {request.url}")
            ),
        )

    def shot(self, name: str, full: bool = False) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=full)


@pytest.fixture
def watch(browser):
    """Opens watched pages and closes them when the test is over."""
    opened = []

    def new(home: str, scheme: str = "light") -> Watched:
        opened.append(Watched(browser, home, scheme))
        return opened[-1]

    yield new
    for watched in opened:
        watched.page.close()


@pytest.fixture(scope="session")
def serve():
    """Serves a folder on loopback; returns its address."""
    servers = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    def start(folder: Path) -> str:
        servers.append(
            http.server.ThreadingHTTPServer(
                ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
            )
        )
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield start
    for server in servers:
        server.shutdown()


class Lab:
    """A JupyterLab server of its own: free port, token, its settings and the notebooks' copies in a
    temporary folder.
    """

    def __init__(self, folder: Path, output: Path):
        from papermill.iorw import load_notebook_node
        from papermill.parameterize import parameterize_notebook

        self.notebooks, self.token = folder / "notebooks", secrets.token_hex()
        self.notebooks.mkdir()
        for name in runner.NOTEBOOKS:
            parameters = {"profile": "smoke", "overrides": {"output_dir": str(output)}}
            notebook = parameterize_notebook(
                load_notebook_node(str(runner.source(name))), parameters
            )
            nbformat.write(notebook, self.notebooks / f"{name}.ipynb")
        for name, settings in SETTINGS.items():
            path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(settings))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.home = f"http://127.0.0.1:{port}/"
        places = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        }
        environment = {k: v for k, v in os.environ.items() if k != runner.STATIC} | {
            "PYTHONPATH": str(ROOT),
            "HF_HUB_OFFLINE": "1",
        }
        environment |= {name: str(folder / place) for name, place in places.items()}
        self.log = (folder / "server.log").open("w")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyterlab",
                "--no-browser",
                "--allow-root",
                "--ServerApp.ip=127.0.0.1",
                f"--ServerApp.port={port}",
                "--ServerApp.port_retries=0",
                f"--ServerApp.root_dir={self.notebooks}",
                f"--IdentityProvider.token={self.token}",
                "--LabApp.extension_manager=readonly",
            ],
            env=environment,
            cwd=folder,
            stdout=self.log,
            stderr=self.log,
        )

    def ask(self, path: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(
            self.home + path, headers={"Authorization": f"token {self.token}"}, method=method
        )
        return urllib.request.urlopen(request, timeout=30).read()

    def wait(self, seconds: float = 300) -> None:
        last = time.monotonic() + seconds
        while time.monotonic() < last and self.process.poll() is None:
            try:
                self.ask("api/status")
                return
            except OSError:
                time.sleep(0.5)
        raise RuntimeError(f"JupyterLab did not start; its log:\n{Path(self.log.name).read_text()}")

    def read(self, name: str):
        return nbformat.read(self.notebooks / f"{name}.ipynb", as_version=4)

    def close_kernels(self) -> None:
        for kernel in json.loads(self.ask("api/kernels")):
            self.ask(f"api/kernels/{kernel['id']}", "DELETE")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


@pytest.fixture(scope="session")
def lab(browser, output, tmp_path_factory):
    server = Lab(tmp_path_factory.mktemp("lab"), output)
    try:
        server.wait()
        yield server
    finally:
        server.stop()
