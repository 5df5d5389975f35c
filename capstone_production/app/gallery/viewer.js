// Shows one picture at a time in its full size. ← and →, the buttons or a swipe show the next one; Esc
// closes the viewer. The list of pictures is the one of the page.

import { page } from "../home/sign_in.js";

const SWIPE = 40; // pixels

let current = null; // the element of the shown picture in the list
let more = null;
let swipeFrom = null;

// Starts the viewer. `loadMore` adds the next pictures to the list.
export function setUpViewer(loadMore) {
  more = loadMore;
  page.previous.addEventListener("click", () => step(-1));
  page.next.addEventListener("click", () => step(1));
  page.shown.addEventListener("load", () => say(""));
  page.shown.addEventListener("error", () => say("The picture cannot be loaded"));
  page.viewer.addEventListener("keydown", ({ key }) => {
    if (key === "ArrowLeft") step(-1);
    if (key === "ArrowRight") step(1);
  });
  page.viewer.addEventListener("pointerdown", ({ isPrimary, clientX }) => {
    swipeFrom = isPrimary ? clientX : null; // a second finger zooms
  });
  page.viewer.addEventListener("pointerup", ({ clientX }) => {
    const distance = swipeFrom === null ? 0 : clientX - swipeFrom;
    if (Math.abs(distance) > SWIPE) step(distance < 0 ? 1 : -1);
    swipeFrom = null;
  });
  page.viewer.addEventListener("close", () => {
    page.shown.removeAttribute("src"); // ends a download that nobody waits for
    current?.querySelector("a").focus();
  });
}

// Shows a picture of the list.
export function view(item) {
  current = item;
  const [link, img] = item.querySelectorAll("a, img");
  const items = shownItems();
  page.shown.alt = page.shownName.textContent = img.alt;
  page.shown.src = link.href;
  page.place.textContent = `${items.indexOf(item) + 1} of ${items.length}${page.more.hidden ? "" : "+"}`;
  page.previous.disabled = item === items[0];
  page.next.disabled = item === items.at(-1) && page.more.hidden;
  say("Loading");
  if (!page.viewer.open) page.viewer.showModal();
}

async function step(by) {
  const from = current;
  let next = neighbour(by);
  if (!next && by > 0 && !page.more.hidden) {
    await more();
    next = neighbour(by);
  }
  if (next && current === from && page.viewer.open) view(next);
}

function neighbour(by) {
  const items = shownItems();
  return items[items.indexOf(current) + by];
}

// A deleted picture is hidden as long as its deletion can be undone.
export function shownItems() {
  return [...page.pictures.children].filter((item) => !item.hidden);
}

function say(words) {
  page.loading.textContent = words;
}
