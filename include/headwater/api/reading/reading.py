"""What every route that reads has at hand: the contracts, the one who asks, the way to an answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus

from starlette.requests import Request

from headwater.api.gate import Admitted, Gate
from headwater.api.problems import Problem
from headwater.api.reading.answers import Answers, Standpoint
from headwater.api.reading.cache import Cache, cache_of
from headwater.api.reading.clickhouse import ClickHouse
from headwater.api.reading.shape import Shape, shape_of
from headwater.api.reading.standing import Standing
from headwater.contracts.model import Contracts, Dataset
from headwater.policy.model import Caller
from headwater.settings import Settings

PURPOSE_HEADER = "headwater-purpose"


class Reading:
    """The reading side of one process. Thread-safe."""

    def __init__(self, settings: Settings, contracts: Contracts, cache: Cache | None = None) -> None:
        self.settings = settings
        self.contracts = contracts
        self.clickhouse = ClickHouse(settings)
        self.gate = Gate(settings)
        self.answers = Answers(self.clickhouse, Standing(settings, self.clickhouse), cache or cache_of(settings))
        self._shapes: dict[tuple[str, str, str], Shape] = {}

    @contextmanager
    def call(self, request: Request, tool: str) -> Iterator[Admitted]:
        """One call of this tool by whoever the request comes from; what fails in it is audited as failed.

        Raises `Problem` (401, 403).
        """
        headers = request.headers
        source = request.client.host if request.client else ""
        admitted = self.gate.admitted(
            headers.get("authorization"), headers.get("x-api-key"), tool, headers.get(PURPOSE_HEADER, ""), source
        )
        try:
            yield admitted
        except Exception as error:
            if not admitted.recorded:
                admitted.failed(error)
            raise

    def standpoint(self, admitted: Admitted) -> Standpoint:
        """From where this caller's questions are answered now."""
        state = self.answers.standing.now()
        return Standpoint(admitted.caller, admitted.version, admitted.login, state)

    def dataset(self, name: str, caller: Caller) -> Dataset:
        """A dataset that the caller may know of. Raises `Problem` (404), the same for one that is not there."""
        dataset = self.contracts.datasets.get(name)
        if dataset is None or not self.knows(caller, dataset):
            raise Problem(HTTPStatus.NOT_FOUND, "no-such-dataset", "there is no dataset of this name")
        return dataset

    @staticmethod
    def knows(caller: Caller, dataset: Dataset) -> bool:
        """Whether the caller's role may read the dataset, here or elsewhere, by its contract."""
        return dataset.name in caller.role.views or caller.role.name in dataset.roles

    def shape(self, name: str, admitted: Admitted) -> Shape:
        """What the caller sees of a dataset with rows in ClickHouse. Raises `Problem` (404)."""
        dataset, role = self.dataset(name, admitted.caller), admitted.caller.role
        if name not in role.views:
            raise Problem(HTTPStatus.NOT_FOUND, "no-such-dataset", "there are no rows of this dataset to be read here")
        key = (admitted.version, role.name, name)
        if key not in self._shapes:
            if len(self._shapes) > 1000:
                self._shapes.clear()
            self._shapes[key] = shape_of(dataset, role.views[name])
        return self._shapes[key]

    @staticmethod
    def sees_whole(caller: Caller, dataset: Dataset) -> bool:
        """Whether the caller sees every row of it, and nothing masked: then what quotes rows may be told as well."""
        view = caller.role.views.get(dataset.name)
        return view is not None and not view.masked and not view.rows

    def close(self) -> None:
        """Let go of everything."""
        self.gate.close()
        self.answers.cache.close()
        self.clickhouse.close()


def predicates(caller: Caller, tables: tuple[str, ...]) -> Mapping[str, str]:
    """The predicates on rows of these tables, as the audit has them."""
    return {view.table: view.rows for view in caller.role.views.values() if view.table in tables and view.rows}
