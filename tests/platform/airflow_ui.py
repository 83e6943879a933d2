"""Airflow's web interface as a person uses it, in a real Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from headwater.settings import Settings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    *(["--no-sandbox"] if os.geteuid() == 0 else []),
]
SLOW_MS = 60_000
expect.set_options(timeout=SLOW_MS)


class AirflowUI:
    """Pages and forms; `screenshots` is the folder they are photographed into, None for none."""

    def __init__(self, page: Page, settings: Settings, screenshots: Path | None) -> None:
        self.page = page
        self.url = f"http://127.0.0.1:{settings.airflow_port}"
        self._password = settings.airflow_admin_password.get_secret_value()
        self._screenshots = screenshots

    def log_in(self) -> None:
        """As the admin, by the form."""
        self.page.goto(f"{self.url}/auth/login")
        self.page.fill("input[name=username]", "admin")
        self.page.fill("input[name=password]", self._password)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(lambda url: "login" not in url)

    def open(self, path: str) -> None:
        """A page, by its path."""
        self.page.goto(f"{self.url}/{path}")

    def shoot(self, name: str) -> None:
        """A picture of what is shown."""
        if self._screenshots:
            self.page.screenshot(path=self._screenshots / f"{name}.png", timeout=SLOW_MS)

    def clear_task(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Run one task of a run again, and what comes after it (the dialog's default)."""
        self.open(f"dags/{dag_id}/runs/{run_id}/tasks/{task_id}")
        self.page.get_by_label("Press shift+c to clear").click()
        dialog = self.page.get_by_role("dialog").last
        expect(dialog).to_be_visible()
        self.shoot("airflow-retry-one-dataset")
        dialog.get_by_role("button", name="Confirm").click()
        expect(dialog).not_to_be_visible()

    def backfill(self, dag_id: str, first: date, last: date) -> None:
        """Fill in the backfill form for these days (both included), reprocessing what ran before."""
        self.open(f"dags/{dag_id}")
        self.page.get_by_role("button", name="Trigger").first.click()
        self.page.get_by_text("Run this Dag for a range of dates").click()
        for field, day in enumerate((first, last)):
            self.page.get_by_test_id("datetime-input").nth(field).click()
            popover = self.page.locator("[data-scope=popover][data-part=content][data-state=open]")
            popover.get_by_placeholder("YYYY/MM/DD").fill(f"{day:%Y/%m/%d}")
            popover.get_by_placeholder("HH:mm").fill("00:00")
            self.page.keyboard.press("Escape")
        self.page.get_by_text("All Runs", exact=True).click()
        run = self.page.get_by_role("button", name="Run Backfill")
        expect(run).to_be_enabled()
        self.shoot("airflow-backfill-form")
        run.click()
        expect(self.page.get_by_role("dialog")).not_to_be_visible()


@contextmanager
def airflow_ui(settings: Settings, screenshots: Path | None = None) -> Iterator[AirflowUI]:
    """A browser that is logged in. Skips, saying so, where there is no Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; on Debian or Ubuntu: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            page = browser.new_page(viewport={"width": 1400, "height": 900}, reduced_motion="reduce")
            page.set_default_timeout(SLOW_MS)
            ui = AirflowUI(page, settings, screenshots)
            ui.log_in()
            yield ui
        finally:
            browser.close()
