// What the gallery page does. It holds no HTML: elements come from the page's templates, and whatever
// a user chose (a file name!) goes into textContent or an attribute, where it can only be text.

import { accept, failure, page, request, start, token } from "./sign_in.js";

const PAGE = 24; // pictures that are asked for at a time
const UPLOADS_AT_ONCE = 2;
const MAX_SIZE = 5 * 1024 * 1024; // bytes; as for the types, the server decides, this saves a trip
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
let cleared = new AbortController(); // ends the uploads that run

page.files.addEventListener("change", () => {
  addFiles([...page.files.files]);
  page.files.value = ""; // so that the same file can be chosen again
});
document.addEventListener("paste", (event) => addFiles(event.clipboardData.files));

// On the whole document: a file that is dropped beside the zone would replace the page.
document.addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return; // text, on its way into a field
  event.preventDefault();
  page.zone.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) page.zone.classList.remove("over"); // out of the window
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
    // Both buttons vanish when they are pressed: the focus goes where the next step is.
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
    if (error.status === 401) enqueue(upload); // goes on after the next sign-in
    else if (upload.row.isConnected) show(upload, "failed", error.message, retryable);
  }
  running -= 1;
  startUploads();
}

// XMLHttpRequest, because fetch does not tell how much of a body it has sent.
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
  // Reading goes on where the new pictures begin.
  (next?.querySelector("a") ?? (page.more.hidden ? page.heading : page.more)).focus();
});

// Shows the next pictures. Some may have been added or deleted elsewhere, so positions have moved: we
// look for a page with pictures that we know and others after them. Then none is skipped, and the
// known ones are not shown twice.
async function loadMore() {
  if (page.pictures.ariaBusy === "true") return;
  page.pictures.ariaBusy = "true";
  describe("Loading");
  let offset = page.pictures.childElementCount;
  let images;
  const read = async (from) => {
    offset = Math.max(0, from);
    // One too many: it is not shown, it tells that there are more.
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

// Says what there is to say about the list; without words, whether it is empty.
function describe(words = page.pictures.childElementCount ? "" : "No pictures yet.") {
  page.status.textContent = words;
}

function pictureOf(image) {
  const item = fromTemplate(page.pictureTemplate);
  const [link, img, name, facts, time, remove] = item.querySelectorAll(
    "a, img, .name, .facts, time, .delete",
  );
  item.id = image.id;
  link.href = img.src = `.${image.url}`; // relative, like every other address here
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
    if (error.status !== 404) return; // 404: deleted elsewhere, which is what was wanted
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

// Returns a size as the reader's language writes it.
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
