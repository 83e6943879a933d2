"""Reading a table's rows in Arrow, file by file.

PyIceberg's own `to_arrow_batch_reader` hands every file to its threads at once and keeps what they have read: of a
large table that is the whole of it in memory. Here it is one file, in an order that does not matter to the caller.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from pyiceberg.io.pyarrow import ArrowScan, schema_to_pyarrow
from pyiceberg.table import DataScan, IncrementalAppendScan


def file_batches(scan: DataScan | IncrementalAppendScan) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The scan's rows, each batch with the path of its file; a file's batches are the same whenever they are read."""
    schema = schema_to_pyarrow(scan.projection())
    reader = ArrowScan(scan.table_metadata, scan.io, scan.projection(), scan.row_filter, scan.case_sensitive)
    for task in scan.plan_files():
        for batch in reader.to_record_batches([task]):
            yield task.file.file_path, batch.cast(schema)
