"""Run the ingestion API: `python -m headwater.api`, on the settings' `bind_host` and `api_port`, until SIGTERM.

On SIGTERM no new request is taken, and those that wait for the broker get their answer.
"""

from __future__ import annotations

import logging
import signal
import sys

import uvicorn

from headwater.api.app import build_app
from headwater.contracts.loader import load_contracts
from headwater.errors import HeadwaterError
from headwater.settings import get_settings

log = logging.getLogger("headwater.api")


class WithoutPandas:
    """An importer that has no pandas.

    PyArrow and DuckDB import it where it is installed, only to see whether a value is a DataFrame. None is here, and it
    takes 33 MB and more than a CPU-second.
    """

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        """Nothing, so that the next importer is asked; but for pandas."""
        if name.partition(".")[0] == "pandas":
            raise ModuleNotFoundError("left out of this process", name=name)


def main() -> int:
    """Serve until told to stop; 1 where it cannot start."""
    sys.meta_path.insert(0, WithoutPandas)
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = get_settings()
        app = build_app(settings, load_contracts())
    except HeadwaterError as error:
        log.error("%s", error)
        return 1
    # uvicorn raises the signal once more after a clean stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    log.info("ingestion API on http://%s:%d", settings.bind_host, settings.api_port)
    uvicorn.run(
        app,
        host=settings.bind_host,
        port=settings.api_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.api_ack_seconds) + 5,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
