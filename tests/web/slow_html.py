"""A proxy on loopback that sends a page's HTML part by part, as a slow connection would."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PAUSE_S = 0.1
PART_BEGINS = re.compile(rb"(?=<(?:main|aside|section|footer)\b)")
DROPPED_REQUEST_HEADERS = {"accept-encoding", "host", "connection"}
DROPPED_ANSWER_HEADERS = {"content-length", "transfer-encoding", "connection", "date", "server"}


@contextmanager
def slow_html_proxy(site_url: str) -> Iterator[str]:
    """Serve what ``site_url`` serves to GET, HTML with a pause before each part of the page.

    Yields the proxy's address, without a slash at the end.
    """
    site = urlsplit(site_url).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            connection = http.client.HTTPConnection(site, timeout=120)
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in DROPPED_REQUEST_HEADERS
            }
            connection.request("GET", self.path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in DROPPED_ANSWER_HEADERS:
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            is_html = (answer.getheader("Content-Type") or "").startswith("text/html")
            for part in PART_BEGINS.split(body) if is_html else [body]:
                self.wfile.write(part)
                self.wfile.flush()
                if is_html:
                    time.sleep(PAUSE_S)
            self.close_connection = True

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
