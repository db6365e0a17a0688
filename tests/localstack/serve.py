"""LocalStack from PyPI on loopback, without Docker: `PYTHON serve.py PORT FOLDER`, where PYTHON has localstack-core.

It prints `Ready.` once it answers.
"""

from __future__ import annotations

import functools
import os
import sys

if __name__ == "__main__":
    port, folder = sys.argv[1:]
    os.environ.update(
        GATEWAY_LISTEN=f"127.0.0.1:{port}",
        FILESYSTEM_ROOT=folder,
        LOCALSTACK_VOLUME_DIR=folder,
        SKIP_SSL_CERT_DOWNLOAD="1",
        DISABLE_EVENTS="1",
        DNS_ADDRESS="0",
        LS_LOG="warning",
    )
    from twisted.internet import endpoints

    # LocalStack hands the port of GATEWAY_LISTEN on, and forgets the address: it would listen on all of them.
    endpoints.TCP4ServerEndpoint = functools.partial(endpoints.TCP4ServerEndpoint, interface="127.0.0.1")

    from localstack.runtime.main import main

    main()
