"""The report in a browser: it renders offline without errors, its curves are interactive, and it fits a phone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from report_runs import hostile, rewrite, small_run

from bench.report.html.analysis import load
from bench.report.html.page import render

FIND = Path(__file__).parents[1] / "browser.sh"
CURVES = "figure.chart >> nth=0"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser shared by all tests."""
    path = subprocess.run(["sh", str(FIND)], check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report of a run with hostile texts, images and a trace."""
    folder = tmp_path_factory.mktemp("browser")
    rewrite(small_run(folder / "run", 200, rewards=["brightness", "compressibility"], held_out=[]), hostile)
    path = folder / "report.html"
    path.write_text(render(load([folder / "run"], "naive", features=False)))
    return path.as_uri()


def opened(browser: Browser, address: str, width: int = 1200, scheme: str = "light") -> tuple[Page, list[str]]:
    """A page, and the list of its errors and network requests."""
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
        has_touch=width < 600,
    )
    page = context.new_page()
    seen: list[str] = []
    page.on("console", lambda message: seen.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: seen.append(f"error: {error}"))
    page.on("request", lambda request: seen.append(request.url) if not request.url.startswith("data:") else None)
    page.goto(address)
    page.wait_for_selector(f"{CURVES} >> .mark")
    return page, seen


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The report on a wide screen; at the end it must have had no errors."""
    found, seen = opened(browser, address)
    yield found
    assert seen == [address]
    found.context.close()


def test_it_renders_offline_and_runs_nothing_of_the_run(page: Page) -> None:
    assert page.title() == "Test-time search on cifar10 · tts-bench"
    assert page.locator("figure.chart svg .curve").count() > 10
    assert page.locator("figure.chart noscript").count() == page.locator("figure.chart").count() == 5
    assert page.evaluate("document.querySelectorAll('img[src^=\"data:image\"]').length") == 60
    assert page.evaluate("[...document.images].filter((i) => i.src).every((i) => i.complete && i.naturalWidth > 0)")
    assert "onerror" in page.locator("table.images th .label").nth(3).inner_text()


def test_a_point_tells_its_number_of_problems_and_interval(page: Page) -> None:
    mark = page.locator(f"{CURVES} >> .panel >> nth=0 >> .mark").nth(2)
    mark.scroll_into_view_if_needed()
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")  # scrolling hides it
    assert page.locator(".tooltip").is_hidden()
    mark.hover(force=True)
    page.locator(".tooltip").wait_for(state="visible")  # what is hidden yet has a text without lines
    text = page.locator(".tooltip").inner_text()
    for fact in ("mean", " [", "n\n19 (effective", "settings\nN = 8", "NFE\n280", "FLOPs", "device-seconds"):
        assert fact in text
    page.mouse.move(1, 1)
    assert page.locator(".tooltip").is_hidden()


def test_the_keyboard_goes_from_point_to_point(page: Page) -> None:
    panel = page.locator(f"{CURVES} >> .panel >> nth=0")
    assert panel.locator('.mark[tabindex="0"]').count() == 1
    panel.locator('.mark[tabindex="0"]').focus()
    first = page.locator(".tooltip").inner_text()
    assert first.startswith("naive")
    page.keyboard.press("ArrowRight")
    assert page.locator(".tooltip").inner_text().startswith("best of N")
    page.keyboard.press("ArrowDown")
    assert page.locator(".tooltip").inner_text().startswith("ε-greedy")
    assert "mean 0." in (page.locator(":focus").get_attribute("aria-label") or "")
    page.keyboard.press("Escape")
    assert page.locator(".tooltip").is_hidden()


def test_the_legend_hides_a_curve_and_shows_it_again(page: Page) -> None:
    chart = page.locator(CURVES)
    button = chart.get_by_role("button", name="best of N")
    before = chart.locator(".mark").count()
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert chart.locator('[data-curve="1"]').count() == 0
    assert chart.locator(".mark").count() < before
    button.click()
    assert chart.locator(".mark").count() == before


def test_the_axis_and_what_is_scored_can_be_chosen(page: Page) -> None:
    chart = page.locator(CURVES)
    places = "marks => marks.map(mark => mark.getAttribute('transform'))"
    seen = [chart.locator(".mark").evaluate_all(places)]
    for choose in (
        lambda: chart.locator("select[name=x]").select_option("device_seconds"),
        lambda: chart.locator("input[name=log]").uncheck(),
        lambda: chart.locator("select[name=y]").select_option("compressibility"),
    ):
        choose()
        seen.append(chart.locator(".mark").evaluate_all(places))
    assert "device-seconds per image" in chart.locator("svg").first.text_content()
    assert all(before != after for before, after in pairwise(seen))


def test_an_image_can_be_enlarged(page: Page) -> None:
    page.locator("button.zoom").first.click()
    assert page.locator("dialog#zoom").is_visible()
    page.get_by_role("button", name="close").click()
    assert page.locator("dialog#zoom").is_hidden()


def test_light_and_dark(browser: Browser, address: str, page: Page) -> None:
    background = "getComputedStyle(document.documentElement).backgroundColor"
    ink = "getComputedStyle(document.querySelector('[data-curve=\"0\"] .dot')).fill"
    light = [page.evaluate(background), page.evaluate(ink)]
    dark_page, seen = opened(browser, address, scheme="dark")
    dark = [dark_page.evaluate(background), dark_page.evaluate(ink)]
    dark_page.context.close()
    assert seen == [address]
    assert all(a != b for a, b in zip(light, dark, strict=True))
    page.locator("#theme").click()
    assert [page.evaluate(background), page.evaluate(ink)] == dark


def test_a_phone_scrolls_only_down(browser: Browser, address: str) -> None:
    page, seen = opened(browser, address, width=360)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.locator(f"{CURVES} >> .panel").nth(1).bounding_box()["x"] < 40  # type: ignore[index]
    page.locator(f"{CURVES} >> .mark >> nth=1").tap(force=True)
    assert "effective" in page.locator(".tooltip").inner_text()
    box = page.locator(".tooltip").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    assert seen == [address]
    page.context.close()


def test_paper_has_no_buttons(page: Page) -> None:
    page.emulate_media(media="print")
    assert page.locator(".controls").first.is_hidden()
    assert page.locator("#theme").is_hidden()
    assert page.locator("figure.chart svg").first.is_visible()


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report of ten curves."""
    folder = tmp_path_factory.mktemp("crowded")
    beams = [{"name": "beam", "B": beam, "budget": {"N": [1, 2]}} for beam in range(1, 9)]
    small_run(folder / "run", 300, held_out=[], searches=["naive", {"name": "random", "budget": {"N": [2, 4]}}, *beams])
    path = folder / "report.html"
    path.write_text(render(load([folder / "run"], "naive", features=False)))
    return path.as_uri()


def test_of_many_curves_the_best_are_in_front_and_the_others_grey_until_touched(browser: Browser, crowded: str) -> None:
    page, seen = opened(browser, crowded)
    first = f"{CURVES} >> .panel >> nth=0"
    assert page.locator(f"{first} >> .curve").count() == 10
    behind = page.locator(f"{first} >> .curve.behind")
    assert behind.count() == 7
    line = behind.first.locator(".line, .bar").first
    grey = line.evaluate("found => getComputedStyle(found).stroke")
    number = int(behind.first.get_attribute("data-curve") or "")
    page.locator(f"{CURVES} >> .legend button").nth(number).hover()
    assert line.evaluate("found => getComputedStyle(found).stroke") != grey
    page.mouse.move(0, 0)
    assert line.evaluate("found => getComputedStyle(found).stroke") == grey
    groups = page.locator("figure.chart >> nth=1")
    assert groups.locator("h3").all_inner_texts() == [
        f"searched on brightness: {name}" for name in ("whole samples", "step by step", "beams and trees")
    ]
    assert seen == [crowded]
