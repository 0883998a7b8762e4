"""A visitor with a real browser: headless Chromium in a container (testhosts/browser.sh), driven by Selenium."""

import base64
import itertools
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import ChromeOptions, Remote
from selenium.webdriver.common.by import By
from selenium.webdriver.common.proxy import Proxy, ProxyType
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.support.wait import WebDriverWait

from tests.acceptance.album import Album, picture

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "testhosts" / "browser.sh"
LOGS = ROOT / ".cache" / "test-logs"
LEAST_CONTRAST = 4.5  # what WCAG asks for text (AA)
PHONE, DESKTOP = (390, 844), (1280, 900)

# What sticks out of the window to the right, unless something around it scrolls by itself.
OVERFLOW = """
const width = arguments[0];  // a phone's window grows with what is in it
const found = [];
if (document.documentElement.scrollWidth > width)
  found.push(`the page is ${document.documentElement.scrollWidth} wide in a window of ${width}`);
const contained = (element) => {
  for (let it = element.parentElement; it && it !== document.body; it = it.parentElement)
    if (["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(it).overflowX)) return true;
  return false;
};
for (const element of document.body.querySelectorAll("*")) {
  const box = element.getBoundingClientRect();
  if (box.width && box.right > width + 0.5 && !contained(element))
    found.push(`<${element.localName} class="${element.getAttribute("class") ?? ""}"> ends at ${box.right}`);
}
return found;
"""

# Each run of text with its contrast against what is painted behind it: the backgrounds of all that it is in, from the
# page's upwards, laid over each other by their opacity.
CONTRAST = """
const canvas = document.createElement("canvas");
canvas.width = canvas.height = 1;
const pen = canvas.getContext("2d", { willReadFrequently: true });
const rgba = (color) => {  // any notation of CSS, read back from a pixel
  pen.clearRect(0, 0, 1, 1);
  pen.fillStyle = color;
  pen.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = ([r, g, b, a], under) => [r, g, b].map((value, i) => value * a + under[i] * (1 - a));
const luminance = (color) => {
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const [r, g, b] = color.map((value) => linear(value / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ratio = (one, two) => {
  const [light, dark] = [luminance(one), luminance(two)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
};
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
const scheme = getComputedStyle(document.documentElement).colorScheme;
const sheet = dark && scheme.includes("dark") ? [18, 18, 18] : [255, 255, 255];
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement;
  const text = node.textContent.trim();
  if (!text || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
  if (["style", "script", "option"].includes(element.localName)) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  const place = range.getBoundingClientRect();
  const [x, y] = [place.x + place.width / 2, place.y + place.height / 2];
  const above = [];
  for (let it = element; it; it = it.parentElement) {
    const box = it.getBoundingClientRect();  // what is positioned may be outside of what it is in
    const behind = it.contains(document.body) || (box.left <= x && x <= box.right && box.top <= y && y <= box.bottom);
    above.unshift([getComputedStyle(it), behind]);
  }
  let back = sheet;
  let opacity = 1;
  let image = false;
  for (const [style, behind] of above) {
    opacity *= Number(style.opacity);
    if (!behind) continue;
    back = over(rgba(style.backgroundColor), back);
    image = image || style.backgroundImage !== "none";
  }
  const ink = rgba(getComputedStyle(element).color);
  const shown = over([ink[0], ink[1], ink[2], ink[3] * opacity], back);
  found.push({ text: text.slice(0, 40), element: element.localName, kind: element.getAttribute("class") ?? "",
               ratio: Math.round(ratio(shown, back) * 100) / 100, image });
}
return found;
"""


class Browser:
    """Starts its container when it is first needed, beside the host that is to be visited."""

    def __init__(self) -> None:
        self.url = ""
        self.tried = False
        self.name = f"homeport-browser-{os.getpid()}"

    def start(self, address: str = "") -> None:
        if not self.url:
            command = [str(SCRIPT), "up", self.name, *([address] if address else [])]
            self.tried = True
            environment = {**os.environ, "PURPOSE": os.environ.get("PURPOSE") or "test"}
            self.url = subprocess.run(
                command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=900
            ).stdout.strip()

    def stop(self) -> None:
        if self.tried:
            subprocess.run([str(SCRIPT), "down", self.name], check=True, stdout=subprocess.DEVNULL)
            self.url, self.tried = "", False

    def put(self, file: Path) -> str:
        """Gives the browser a file to upload; returns where it finds it."""
        with file.open("rb") as stream:
            return subprocess.run(
                [str(SCRIPT), "put", self.name, file.name],
                stdin=stream,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            ).stdout.strip()

    @contextmanager
    def window(self, what: str, address: str = "", *domains: str) -> Iterator[Remote]:
        """A browser of its own, for which the domains are at the address. What it showed when a check fails is kept
        as a picture in .cache/test-logs, with ``what`` in its name."""
        self.start(address)
        options = ChromeOptions()
        for word in ("--headless=new", "--no-sandbox", "--window-size=1280,900", "--hide-scrollbars"):
            options.add_argument(word)
        if domains:
            rules = ",".join(f"MAP {domain} {address}" for domain in domains)
            options.add_argument(f"--host-resolver-rules={rules}")
            # As if over HTTPS: on a plain address a browser ignores, and complains of, some security headers.
            origins = ",".join(f"http://{domain}" for domain in domains)
            options.add_argument(f"--unsafely-treat-insecure-origin-as-secure={origins}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        # Nothing is asked of a proxy that this machine may have.
        direct = Proxy({"proxyType": ProxyType.DIRECT})
        config = ClientConfig(remote_server_addr=self.url, proxy=direct, timeout=60)
        driver = Remote(command_executor=self.url, options=options, client_config=config)
        try:
            yield driver
        except BaseException:
            LOGS.mkdir(parents=True, exist_ok=True)
            name = re.sub(r"[^a-z0-9]+", "-", what.lower())
            driver.get_screenshot_as_file(str(LOGS / f"browser-{name}.png"))
            raise
        finally:
            driver.quit()


def devtools(driver: Remote, command: str, **parameters: Any) -> None:
    driver.execute("executeCdpCommand", {"cmd": command, "params": parameters})


def complaints(driver: Remote) -> list[str]:
    """What the browser itself objected to since it was last asked."""
    entries = driver.execute("getLog", {"type": "browser"})["value"]
    return [entry["message"] for entry in entries if entry["level"] in ("WARNING", "SEVERE")]


def check_upload(
    browser: Browser,
    album: Album,
    folder: Path,
    timeout: float = 30,
    uploaded: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """A visitor makes an album and uploads a photo through the form, and waits for its thumbnail without reloading.
    Returns whether the page said that it was still being worked on, and the seconds until it was seen. ``uploaded``
    is called in between."""
    address = album.base.removeprefix("http://")
    file = folder / "sunset.png"
    file.write_bytes(picture())
    with browser.window(f"upload {album.domain}", address, album.domain) as driver:
        driver.get(f"http://{album.domain}/albums/new/")
        driver.find_element(By.NAME, "title").send_keys("By a real browser")
        driver.find_element(By.CSS_SELECTOR, "main form button").click()
        WebDriverWait(driver, 30).until(lambda it: it.current_url.endswith("/upload/"))
        driver.find_element(By.NAME, "photos").send_keys(browser.put(file))
        assert "sunset.png" in driver.find_element(By.CSS_SELECTOR, ".chosen").text
        driver.find_element(By.NAME, "caption").send_keys("Evening")
        driver.find_element(By.CSS_SELECTOR, "main form button").click()
        began = time.monotonic()
        page = WebDriverWait(driver, 30, poll_frequency=0.02)
        page.until(lambda it: re.search(r"/albums/\d+/$", it.current_url))
        states = driver.find_elements(By.CSS_SELECTOR, ".photos .state")
        processing = any("processing" in (state.get_attribute("class") or "") for state in states)
        uploaded()
        WebDriverWait(driver, timeout, poll_frequency=0.05).until(
            lambda it: it.execute_script(
                "const image = document.querySelector('.photos img');"
                "return Boolean(image && image.complete && image.naturalWidth > 0)"
            ),
            f"no thumbnail within {timeout} s",
        )
        seconds = time.monotonic() - began
        image = driver.find_element(By.CSS_SELECTOR, ".photos img")
        assert "/media/" in (image.get_attribute("src") or "")
        driver.find_element(By.CSS_SELECTOR, ".photos a").click()
        WebDriverWait(driver, 30).until(lambda it: "/photos/" in it.current_url)
        assert "Evening" in driver.find_element(By.TAG_NAME, "h1").text
        objections = complaints(driver)
        assert objections == [], objections
    return {"processing": processing, "seconds": seconds}


def check_page_fits(browser: Browser, what: str, html: str, least: int = 20) -> None:
    """A page on its own, at the widths of a phone and of a desktop, in light and dark: nothing sticks out, every text
    can be read. ``least`` texts there must be, so that an empty page does not pass."""
    data = "data:text/html;charset=utf-8;base64," + base64.b64encode(html.encode()).decode()
    with browser.window(what) as driver:
        for (width, height), scheme in itertools.product((PHONE, DESKTOP), ("light", "dark")):
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
            devtools(driver, "Emulation.setDeviceMetricsOverride", **size)
            preference = {"name": "prefers-color-scheme", "value": scheme}
            devtools(driver, "Emulation.setEmulatedMedia", features=[preference])
            driver.get(data)
            # What is folded is part of the page.
            driver.execute_script("document.querySelectorAll('details').forEach((it) => (it.open = true))")
            shown = "return Math.round(visualViewport.width * visualViewport.scale)"
            assert driver.execute_script(shown) == width
            outside = driver.execute_script(OVERFLOW, width)
            assert outside == [], (width, scheme, outside)
            texts = driver.execute_script(CONTRAST)
            assert len(texts) >= least, f"there are only {len(texts)} texts"
            faint = [text for text in texts if text["ratio"] < LEAST_CONTRAST or text["image"]]
            assert faint == [], (width, scheme, faint)
        objections = complaints(driver)
        assert objections == [], objections
