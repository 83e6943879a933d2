"""What every route that reads has at hand: the contracts, the one who asks, the way to an answer."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request

from headwater.api.problems import Problem
from headwater.api.reading.answers import Answers, Standpoint
from headwater.api.reading.cache import Cache, cache_of
from headwater.api.reading.clickhouse import ClickHouse
from headwater.api.reading.runs import Runs
from headwater.api.reading.standing import Standing
from headwater.contracts.model import Contracts, Dataset
from headwater.identity.authenticating import Authenticated
from headwater.policy.model import Caller, Surface
from headwater.serving.asking import Asking, Gate
from headwater.serving.shape import Shape, shape_of
from headwater.settings import Settings

PURPOSE_HEADER = "headwater-purpose"


class Reading:
    """The reading side of one process. Thread-safe."""

    def __init__(self, settings: Settings, contracts: Contracts, cache: Cache | None = None) -> None:
        self.settings = settings
        self.contracts = contracts
        self.clickhouse = ClickHouse(settings)
        self.gate = Gate(settings, Surface.API)
        self.standing = Standing(settings, contracts)
        self.answers = Answers(self.clickhouse, cache or cache_of(settings), self.standing.after)
        self.runs = Runs(settings)
        self._shapes: dict[tuple[str, str, str], Shape] = {}

    def call(self, request: Request, tool: str) -> Asking:
        """One call of this tool by whoever the request comes from, to be used in a `with`.

        Raises `NotAuthenticated`, `Denied`, `QuotaUsedUp` and what the services behind raise; `refusing` knows them.
        """
        known = self.known(request)
        return self.gate.ask(known, tool, purpose=request.headers.get(PURPOSE_HEADER, ""), source=_source(request))

    def known(self, request: Request) -> Authenticated:
        """Whose request it is. Raises `NotAuthenticated`, `TooManyLogins`, `DatabaseUnavailable`."""
        headers = request.headers
        return self.gate.authenticated(headers.get("authorization"), headers.get("x-api-key"), _source(request))

    def standpoint(self, asking: Asking) -> Standpoint:
        """From where this caller's questions are answered now."""
        return Standpoint(asking, self.standing.now(), self.contracts)

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

    def shape(self, name: str, asking: Asking) -> Shape:
        """What the caller sees of a dataset with rows in ClickHouse. Raises `Problem` (404)."""
        dataset, role = self.dataset(name, asking.caller), asking.caller.role
        if name not in role.views:
            raise Problem(HTTPStatus.NOT_FOUND, "no-such-dataset", "there are no rows of this dataset to be read here")
        key = (asking.policy_version, role.name, name)
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
        self.runs.close()
        self.gate.close()
        self.answers.cache.close()
        self.standing.close()
        self.clickhouse.close()


def _source(request: Request) -> str:
    return request.client.host if request.client else ""
