"""A channel of 5,000 small objects, over HTTP as the runner fetches them."""

from __future__ import annotations

import http.server
import json
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from stagemaker.contract.training import ChannelConfig
from stagemaker.jobs.channel import download_channel
from stagemaker.jobs.objects import ObjectClient
from stagemaker.jobs.selection import Share
from stagemaker.jobs.spec import ChannelSource, S3Uri
from stagemaker.ports import Credentials

COUNT, PAGE = 5000, 1000
CONNECTIONS: list[object] = []


class Bucket(http.server.BaseHTTPRequestHandler):
    """The keys `in/0` to `in/4999` in pages of 1,000, each of which holds its own number."""

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """A new connection."""
        super().setup()
        CONNECTIONS.append(self)

    def do_GET(self) -> None:
        """A page of the list, or an object."""
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        body = self._page(int(query.get("continuation-token", ["0"])[0])) if query else url.path.rpartition("/")[2]
        data = body.encode()
        head = f"HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: {len(data)}\r\n\r\n"
        self.wfile.write(head.encode() + data)

    @staticmethod
    def _page(start: int) -> str:
        end = min(start + PAGE, COUNT)
        entries = [f"<Contents><Key>in/{n}</Key><Size>{len(str(n))}</Size></Contents>" for n in range(start, end)]
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{end}</NextContinuationToken>"
        return f"<ListBucketResult>{''.join(entries)}{more if end < COUNT else ''}</ListBucketResult>"

    def log_message(self, *_: object) -> None:
        """Quiet."""


def test_five_thousand_small_objects(tmp_path: Path) -> None:
    """Each is there with its own content, and all came over one connection."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        (tmp_path / "stage.json").write_text(json.dumps({"endpoint": f"http://127.0.0.1:{server.server_port}"}))
        client = ObjectClient(tmp_path / "stage.json", "us-east-1", Credentials("AKIA", "secret"))
        channel = ChannelSource(ChannelConfig("train", None), S3Uri("b", "in/"))
        folder = tmp_path / "train"
        taken = download_channel(client, channel, Share(0, 1), folder, space=1 << 20, proceed=lambda: None)
        client.close()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    found = {path.name: path.read_text() for path in folder.iterdir()}
    assert found == {str(n): str(n) for n in range(COUNT)}
    assert taken == sum(map(len, found))
    assert len(CONNECTIONS) == 1
