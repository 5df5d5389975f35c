// The script of the gallery page. It contains no HTML: elements come from the page's templates. Text
// from users, such as a file name, goes into textContent or an attribute, where it stays text.

import { deleteNow, remove, setUpDeletion, wasDeleted } from "./deletion.js";
import { page, request, start } from "../home/sign_in.js";
import { acceptFiles, clearUploads, startUploads } from "./uploads.js";
import { setUpViewer, shownItems, view } from "./viewer.js";

const PAGE = 24; // pictures in one request
const SIZES = "(max-width: 30rem) 45vw, 14rem"; // the width of a picture in the grid: see gallery.css

// ---- Signing in and out

function enter() {
  showGallery(true);
  loadMore();
  startUploads();
}

function exit() {
  page.viewer.close();
  deleteNow();
  showGallery(false);
}

function showGallery(visible) {
  page.gallery.hidden = !visible;
  page.pictures.replaceChildren();
  page.more.hidden = true;
}

// ---- Pictures

acceptFiles((image) => {
  if (!isShown(image)) page.pictures.prepend(pictureOf(image));
  describe();
});

setUpViewer(loadMore);
setUpDeletion((words) => {
  describe(words);
  if (!page.pictures.childElementCount && !page.more.hidden) loadMore();
});

page.more.addEventListener("click", async () => {
  const last = page.pictures.lastElementChild;
  await loadMore();
  const next = last ? last.nextElementSibling : page.pictures.firstElementChild;
  // The focus moves to the first new picture.
  (next?.querySelector("a") ?? (page.more.hidden ? page.heading : page.more)).focus();
});

// Shows the next pictures. Other clients may have added or deleted some, so offsets may have moved. The
// loops look for a page with known pictures and new ones after them. So no picture is skipped, and none
// is shown twice.
async function loadMore() {
  if (page.pictures.ariaBusy === "true") return;
  page.pictures.ariaBusy = "true";
  describe("Loading");
  let offset = page.pictures.childElementCount;
  let images;
  const read = async (from) => {
    offset = Math.max(0, from);
    // One more than the page shows: if the server sends it, there are more pictures.
    images = await request("GET", `images?limit=${PAGE + 1}&offset=${offset}`);
    page.more.hidden = images.length <= PAGE;
    images.length = Math.min(images.length, PAGE);
  };
  try {
    await read(offset - 1);
    while (offset > 0 && !images.some(isShown)) await read(offset - PAGE);
    while (!page.more.hidden && images.every(isShown)) await read(offset + PAGE);
    let next = null;
    for (const image of images.reverse()) {
      if (!isShown(image)) page.pictures.insertBefore(pictureOf(image), next);
      next = document.getElementById(image.id);
    }
    describe();
  } catch (error) {
    page.more.hidden = false;
    describe(error.message);
  }
  page.pictures.ariaBusy = "false";
}

function isShown(image) {
  return document.getElementById(image.id) !== null;
}

// Shows a message about the list. By default it says whether the list is empty.
function describe(words = shownItems().length ? "" : "No pictures yet.") {
  page.status.textContent = words;
}

function pictureOf(image) {
  const item = page.pictureTemplate.content.firstElementChild.cloneNode(true);
  const [link, img, box, name, facts, time, button] = item.querySelectorAll(
    "a, img, input, .name, .facts, time, .delete",
  );
  item.id = image.id;
  item.hidden = wasDeleted(image);
  link.href = `.${image.url}`; // relative, like all URLs here
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // opens in a new tab or window
    event.preventDefault();
    view(item);
  });
  // The browser takes the smallest thumbnail that is sharp enough for this screen.
  const thumbnail = `images/${image.id}/thumbnail`;
  img.sizes = SIZES;
  img.srcset = `${thumbnail}?size=256 256w, ${thumbnail}?size=512 512w`;
  img.src = `${thumbnail}?size=256`;
  img.addEventListener("load", () => item.classList.remove("broken"));
  img.addEventListener("error", () => item.classList.add("broken"));
  img.alt = name.textContent = name.title = image.filename;
  img.width = image.width;
  img.height = image.height;
  facts.textContent = `${image.width} × ${image.height} · ${inBytes(image.size)}`;
  time.dateTime = image.uploaded_at;
  time.textContent = DATE.format(new Date(image.uploaded_at));
  box.ariaLabel = `Select ${image.filename}`;
  button.ariaLabel = `Delete ${image.filename}`;
  button.addEventListener("click", () => remove([item]));
  return item;
}

window.addEventListener("online", () => {
  for (const img of page.pictures.querySelectorAll(".broken img")) img.src = img.src;
});

// ---- Words

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

// Returns a size in the format of the reader's language.
function inBytes(size) {
  const [unit, divisor] = size < 1e6 ? ["kilobyte", 1e3] : ["megabyte", 1e6];
  const format = { style: "unit", unit, maximumSignificantDigits: 2 };
  return new Intl.NumberFormat(undefined, format).format(size / divisor);
}

function forget() {
  deleteNow();
  clearUploads();
}

start({ enter, exit, forget, focus: page.heading });
