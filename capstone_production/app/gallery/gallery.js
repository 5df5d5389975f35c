// The script of the gallery page. It contains no HTML: elements come from the page's templates. Text
// from users, such as a file name, goes into textContent or an attribute, where it stays text.

import { accept, failure, page, request, start, token } from "../home/sign_in.js";

const PAGE = 24; // pictures in one request
const UPLOADS_AT_ONCE = 2;
const MAX_SIZE = 5 * 1024 * 1024; // bytes; the server decides about size and type, this check saves an upload
const TYPES = ["image/jpeg", "image/png"];
const NO_ANSWER = "No answer: the connection was lost, or the file cannot be read";

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

// ---- Uploading

const waiting = [];
let running = 0;
let cleared = new AbortController(); // aborts the running uploads

page.files.addEventListener("change", () => {
  addFiles([...page.files.files]);
  page.files.value = ""; // so that the same file can be chosen again
});
document.addEventListener("paste", (event) => addFiles(event.clipboardData.files));

// On the whole document, because a file that is dropped beside the zone would replace the page.
document.addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return; // dragged text may go into a field
  event.preventDefault();
  page.zone.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) page.zone.classList.remove("over"); // the pointer left the window
});
document.addEventListener("drop", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  page.zone.classList.remove("over");
  addFiles(event.dataTransfer.files);
});

function addFiles(files) {
  if (!token) return;
  if (files.length) page.uploads.querySelectorAll(".done").forEach((row) => row.remove());
  for (const file of files) {
    const row = fromTemplate(page.uploadTemplate);
    const upload = { file, row };
    row.querySelector(".name").textContent = row.querySelector(".name").title = file.name;
    row.querySelector("progress").ariaLabel = `Upload of ${file.name}`;
    // Each button disappears when it is pressed, so the focus moves to the next step.
    row.querySelector(".retry").addEventListener("click", () => {
      enqueue(upload);
      page.files.focus();
    });
    row.querySelector(".dismiss").addEventListener("click", () => {
      row.remove();
      page.files.focus();
    });
    page.uploads.append(row);
    if (file.size > MAX_SIZE) show(upload, "failed", "The file has more than 5 MiB");
    else if (file.type && !TYPES.includes(file.type)) show(upload, "failed", "Not a JPEG or PNG");
    else enqueue(upload);
  }
}

function enqueue(upload) {
  show(upload, "waiting", "Waiting");
  waiting.push(upload);
  startUploads();
}

function startUploads() {
  while (token && running < UPLOADS_AT_ONCE && waiting.length) run(waiting.shift());
}

async function run(upload) {
  running += 1;
  try {
    const image = await send(upload);
    if (!isShown(image)) page.pictures.prepend(pictureOf(image));
    describe();
    show(upload, "done", "Uploaded");
  } catch (error) {
    const retryable = error.status === 0 || error.status >= 500;
    if (error.status === 401) enqueue(upload); // continues after the next sign-in
    else if (upload.row.isConnected) show(upload, "failed", error.message, retryable);
  }
  running -= 1;
  startUploads();
}

// XMLHttpRequest, because fetch does not report the progress of an upload.
function send({ file, row }) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    form.append("file", file);
    const upload = new XMLHttpRequest();
    const sent = token;
    upload.open("POST", "images");
    upload.responseType = "json";
    upload.setRequestHeader("Authorization", `Bearer ${sent}`);
    upload.upload.addEventListener("progress", ({ loaded, total }) => {
      row.querySelector("progress").value = loaded / total;
      const percent = Math.floor((100 * loaded) / total);
      row.querySelector(".state").textContent = loaded < total ? `${percent} %` : "Checking";
    });
    upload.addEventListener("loadend", () => {
      try {
        if (upload.status === 0) throw failure(0, { detail: NO_ANSWER });
        resolve(accept(upload.status, upload.response, sent));
      } catch (error) {
        reject(error);
      }
    });
    cleared.signal.addEventListener("abort", () => upload.abort());
    upload.send(form);
  });
}

function show({ file, row }, state, words, retryable = false) {
  row.className = state;
  row.querySelector(".state").textContent = words;
  row.querySelector("progress").value = state === "done" ? 1 : 0;
  row.querySelector(".retry").hidden = !retryable;
  row.querySelector(".dismiss").hidden = state !== "failed";
  if (state !== "waiting") announce(`${file.name}: ${words}`);
}

function clearUploads() {
  waiting.length = 0;
  page.uploads.replaceChildren();
  page.announcer.replaceChildren();
  cleared.abort();
  cleared = new AbortController();
}

// ---- Pictures

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
  const item = fromTemplate(page.pictureTemplate);
  const [link, img, name, facts, time, remove] = item.querySelectorAll(
    "a, img, .name, .facts, time, .delete",
  );
  item.id = image.id;
  link.href = img.src = `.${image.url}`; // relative, like all URLs here
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

// ---- Words and elements

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

// Returns a size in the format of the reader's language.
function inBytes(size) {
  const [unit, divisor] = size < 1e6 ? ["kilobyte", 1e3] : ["megabyte", 1e6];
  const format = { style: "unit", unit, maximumSignificantDigits: 2 };
  return new Intl.NumberFormat(undefined, format).format(size / divisor);
}

function announce(words) {
  const line = document.createElement("p");
  line.textContent = words;
  page.announcer.append(line);
}

function fromTemplate(template) {
  return template.content.firstElementChild.cloneNode(true);
}

start({ enter, exit, forget: clearUploads, focus: page.heading });
