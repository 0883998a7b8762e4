"use strict";

// Photos that are still being worked on: ask for their status until it is known. Ever more
// slowly, and not for ever, so that a page left open does not keep the server busy.
for (const element of document.querySelectorAll("[data-status]")) {
  let wait = 800;
  const look = async () => {
    let answer = { status: "processing" };
    try {
      const response = await fetch(element.dataset.status, { cache: "no-store" });
      if (response.ok) answer = await response.json();
    } catch {
      // The server may be busy with a deploy: the next try finds it again.
    }
    if (answer.status === "done") {
      show(element, answer);
    } else if (answer.status === "failed") {
      tell(element, "state failed", "This photo could not be read. Please upload it again, or try another one.");
    } else if (wait < 60000) {
      wait *= 1.4;
      setTimeout(look, wait);
    } else {
      tell(element, "state", "This takes longer than usual. Please look again later.");
    }
  };
  setTimeout(look, wait);
}

function tell(element, kind, text) {
  const state = element.matches(".state") ? element : element.querySelector(".state");
  state.className = kind;
  state.textContent = text;
}

function show(element, answer) {
  const state = element.querySelector(".state");
  if (!state) {
    location.reload();
    return;
  }
  const image = new Image();
  image.src = answer.thumbnail;
  image.alt = element.querySelector(".caption")?.textContent ?? `Photo ${answer.id}`;
  state.replaceWith(image);
}

// The upload form: tell what was chosen, and send it once.
const drop = document.querySelector(".drop");
if (drop) {
  const input = drop.querySelector("input[type=file]");
  const list = drop.querySelector(".chosen");
  const listFiles = () => {
    const names = Array.from(input.files, (file) => file.name);
    const more = names.length - 5;
    const lines = more > 0 ? [...names.slice(0, 5), `and ${more} more`] : names;
    list.replaceChildren(
      ...lines.map((line) => {
        const item = document.createElement("li");
        item.textContent = line;
        return item;
      }),
    );
  };
  input.addEventListener("change", listFiles);
  for (const type of ["dragenter", "dragover"]) drop.addEventListener(type, () => drop.classList.add("over"));
  for (const type of ["dragleave", "drop"]) drop.addEventListener(type, () => drop.classList.remove("over"));

  const form = drop.closest("form");
  const button = form.querySelector("button");
  form.addEventListener("submit", () => {
    button.disabled = true;
    button.textContent = "Uploading…";
  });
  // Going back brings the page as it was left, button and all.
  window.addEventListener("pageshow", () => {
    button.disabled = false;
    button.textContent = "Upload";
    listFiles();
  });
}

// Arrow keys turn the pages.
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (event.target.closest("input, textarea")) return;
  const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  if (rel) document.querySelector(`.pages a[rel=${rel}]`)?.click();
});
