"""The API's pages in a real Chromium: its description, tried out, and GraphiQL, asked a question."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright
from tests.platform.airflow_ui import ARGUMENTS, CHROMIUM

pytestmark = [pytest.mark.integration, pytest.mark.browser, pytest.mark.thorough]


@pytest.fixture(scope="module")
def page(api) -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        yield context.new_page()
        browser.close()


def elsewhere(page: Page, url: str) -> list[str]:
    """Whatever the page asks of another server."""
    asked: list[str] = []
    page.on(
        "request",
        lambda request: None if request.url.startswith((url, "data:", "blob:")) else asked.append(request.url),
    )
    return asked


def test_the_description_is_shown_and_can_be_tried_out(api, page):
    foreign = elsewhere(page, api.url)
    page.goto(f"{api.url}/docs")
    expect(page.get_by_text("/v1/datasets", exact=True).first).to_be_visible()
    page.get_by_role("button", name="Authorize").click()
    page.get_by_label("auth-bearer-value").fill(api.key("analyst"))
    page.get_by_role("button", name="Apply credentials").first.click()
    page.locator(".modal-ux .btn-done").first.click()
    operation = page.locator("#operations-datasets-list_datasets_v1_datasets_get")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text("mart_finance_daily_revenue")
    assert foreign == []


def test_graphiql_answers_a_question(api, page):
    foreign = elsewhere(page, api.url)
    page.add_init_script(
        "localStorage.setItem('graphiql:headers', " + json.dumps(json.dumps(api.headers("analyst"))) + ");"
        "localStorage.setItem('graphiql:shouldPersistHeaders', 'true');"
    )
    page.goto(f"{api.url}/graphiql")
    page.get_by_role("button", name="Execute query").click()
    expect(page.locator(".graphiql-response, .result-window").first).to_contain_text("campaign_households")
    assert foreign == []
