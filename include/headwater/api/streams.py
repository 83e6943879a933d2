"""The stream datasets the API takes events for: judge, newest registered schema, encoder and key of each."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import fastavro
import pyarrow as pa

from headwater.api.judging import Judge
from headwater.contracts.model import Dataset
from headwater.contracts.registry import RegistryClient, RegistryUnavailableError
from headwater.errors import TerminalError
from headwater.settings import Settings
from headwater.sources.avro_encoder import AvroEncoder, EncodingError, confluent_header
from headwater.streaming.writers import SubjectSchemas

log = logging.getLogger(__name__)

REFRESH_SECONDS = 30.0

Encode = Callable[[pa.RecordBatch], list[bytes]]


@dataclass(frozen=True, slots=True)
class Written:
    """What events are written with: version and encoder; and all schemas of the subject by id, to read Avro."""

    version: int
    encode: Encode
    by_id: Mapping[int, Any]


class EventStream:
    """One stream dataset. May be used from several threads."""

    def __init__(self, settings: Settings, dataset: Dataset) -> None:
        self.dataset = dataset
        self.judge = Judge(dataset)
        self._settings = settings
        self._turn = threading.Lock()
        self._written: Written | None = None
        self._asked = 0.0
        self._seen: tuple[int, ...] = ()

    def written(self) -> Written:
        """The newest registered schema, asked for anew every half a minute; the last known while the registry is down.

        Raises `RegistryUnavailableError` where it never answered, `TerminalError` where the contract is not applied.
        """
        with self._turn:
            if self._written is None or time.monotonic() - self._asked > REFRESH_SECONDS:
                try:
                    self._written = self._ask()
                except RegistryUnavailableError as error:
                    if self._written is None:
                        raise
                    log.warning(
                        "%s: written with version %d still: %s", self.dataset.name, self._written.version, error
                    )
                self._asked = time.monotonic()
            return self._written

    def _ask(self) -> Written:
        with RegistryClient(self._settings) as registry:
            versions = registry.versions(self.dataset.subject)
            by_id = SubjectSchemas(registry, self.dataset.subject).refresh()
        if not by_id:
            raise TerminalError(
                f"subject '{self.dataset.subject}' is not registered",
                remedy=f"run `headwater contract apply {self.dataset.name}`",
            )
        schema_id, schema = list(by_id.items())[-1]
        self._covers(schema)
        return Written(versions[-1], encoder(schema, schema_id), by_id)

    def _covers(self, schema: Mapping[str, Any]) -> None:
        """A field that the registered schema lacks would be lost on the way."""
        registered = {field["name"] for field in schema["fields"]}
        missing = [c.name for c in self.dataset.source_columns if c.name not in registered]
        if missing:
            raise TerminalError(
                f"the registered schema lacks {', '.join(missing)} of the contract",
                where=f"subject {self.dataset.subject}",
                remedy=f"run `headwater contract apply {self.dataset.name}`",
            )

    def keys(self, rows: pa.RecordBatch) -> list[bytes | None]:
        """The message key of each row, as the contract says."""
        if self.dataset.message_key is None:
            return [None] * rows.num_rows
        keys: list[bytes | None] = rows.column(self.dataset.message_key).cast(pa.string()).cast(pa.binary()).to_pylist()
        return keys


def encoder(schema: Mapping[str, Any], schema_id: int) -> Encode:
    """Rows to framed values: by column where fields are flat, by fastavro where not (maps, long decimals)."""
    try:
        return AvroEncoder(schema, schema_id).encode
    except EncodingError:
        return _row_by_row(fastavro.parse_schema(dict(schema)), confluent_header(schema_id))


def _row_by_row(schema: Any, header: bytes) -> Encode:
    def encode(rows: pa.RecordBatch) -> list[bytes]:
        values = []
        for row in rows.to_pylist(maps_as_pydicts="strict"):
            buffer = io.BytesIO(header)
            buffer.seek(len(header))
            fastavro.schemaless_writer(buffer, schema, row)
            values.append(buffer.getvalue())
        return values

    return encode
