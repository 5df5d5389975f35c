// The script of the gallery page. It contains no HTML: elements come from the page's templates. Text
// from users, such as a file name, goes into textContent or an attribute, where it stays text.

import { page, request, start } from "../home/sign_in.js";
import { acceptFiles, announce, clearUploads, startUploads } from "./uploads.js";

const PAGE = 24; // pictures in one request

// ---- Signing in and out

function enter() {
  showGallery(true);
  loadMore();
  startUploads();
}

function exit() {
  page.dialog.close();
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
function describe(words = page.pictures.childElementCount ? "" : "No pictures yet.") {
  page.status.textContent = words;
}

function pictureOf(image) {
  const item = page.pictureTemplate.content.firstElementChild.cloneNode(true);
  const [link, img, name, facts, time, remove] = item.querySelectorAll(
    "a, img, .name, .facts, time, .delete",
  );
  item.id = image.id;
  link.href = img.src = `.${image.url}`; // relative, like all URLs here
  img.addEventListener("load", () => item.classList.remove("broken"));
  img.addEventListener("error", () => item.classList.add("broken"));
  img.alt = name.textContent = name.title = image.filename;
  img.width = image.width;
  img.height = image.height;
  facts.textContent = `${image.width} × ${image.height} · ${inBytes(image.size)}`;
  time.dateTime = image.uploaded_at;
  time.textContent = DATE.format(new Date(image.uploaded_at));
  remove.ariaLabel = `Delete ${image.filename}`;
  remove.addEventListener("click", () => askToDelete(image, item));
  return item;
}

window.addEventListener("online", () => {
  for (const img of page.pictures.querySelectorAll(".broken img")) img.src = img.src;
});

function askToDelete(image, item) {
  page.doomed.textContent = image.filename;
  page.problem.textContent = "";
  page.confirm.onclick = () => remove(image, item);
  page.dialog.showModal();
}

async function remove(image, item) {
  try {
    await request("DELETE", `images/${image.id}`);
  } catch (error) {
    page.problem.textContent = error.message;
    if (error.status !== 404) return; // 404: another client has deleted it already
  }
  if (!item.isConnected) return; // a second click
  const neighbour = item.nextElementSibling ?? item.previousElementSibling;
  item.remove();
  page.dialog.close();
  (neighbour?.querySelector("a") ?? page.heading).focus();
  announce(`${image.filename}: deleted`);
  if (!neighbour) loadMore();
}

// ---- Words

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

// Returns a size in the format of the reader's language.
function inBytes(size) {
  const [unit, divisor] = size < 1e6 ? ["kilobyte", 1e3] : ["megabyte", 1e6];
  const format = { style: "unit", unit, maximumSignificantDigits: 2 };
  return new Intl.NumberFormat(undefined, format).format(size / divisor);
}

start({ enter, exit, forget: clearUploads, focus: page.heading });
