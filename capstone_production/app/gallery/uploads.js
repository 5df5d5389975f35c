// Uploads pictures, two at a time. When the connection fails, the uploads wait. Each upload has a key,
// and the server stores a key only once. So a repeated upload is safe, even if only the answer was lost.

import { accept, failure, freshToken, newName, page, signedIn } from "../home/sign_in.js";

const AT_ONCE = 2;
const MAX_SIZE = 5 * 1024 * 1024; // bytes; the server decides about size and type, this check saves an upload
const TYPES = ["image/jpeg", "image/png"];
const PATIENCE = 30_000; // milliseconds without any progress
const NO_ANSWER = "No answer: the connection was lost.";

let uploads = []; // each one is "waiting", "running", "done" or "failed"
let problem = ""; // while there is one, no upload starts
let whenStored = null;

// Makes the page accept files. `stored` is called with each new image.
export function acceptFiles(stored) {
  whenStored = stored;
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
  page.retry.addEventListener("click", () => {
    page.files.focus(); // the button disappears
    resume();
  });
  page.clear.addEventListener("click", () => {
    page.files.focus();
    clearUploads();
  });
  window.addEventListener("online", resume);
  window.addEventListener("beforeunload", (event) => {
    if (left()) event.preventDefault(); // the browser asks: the page would lose them
  });
}

function addFiles(files) {
  if (!signedIn || !files.length) return;
  if (!left()) uploads = uploads.filter(({ state }) => state === "failed"); // a new batch
  for (const file of files) {
    const row = page.uploadTemplate.content.firstElementChild.cloneNode(true);
    const upload = { file, row, key: newName(), state: "waiting", request: null };
    row.querySelector(".name").textContent = row.querySelector(".name").title = file.name;
    row.querySelector("progress").ariaLabel = `Upload of ${file.name}`;
    row.querySelector("button").addEventListener("click", () => {
      page.files.focus();
      remove(upload);
    });
    uploads.push(upload);
    if (file.size > MAX_SIZE) show(upload, "failed", "The file has more than 5 MiB");
    else if (file.type && !TYPES.includes(file.type)) show(upload, "failed", "Not a JPEG or PNG");
  }
  resume();
}

// ---- The queue

export function startUploads() {
  let next = null;
  while (signedIn && !problem && count("running") < AT_ONCE && (next = first("waiting"))) run(next);
  summarize();
}

async function run(upload) {
  show(upload, "running", "0 %");
  try {
    const token = await freshToken();
    if (upload.state !== "running") return; // cancelled
    whenStored(await send(upload, token));
    show(upload, "done");
  } catch (error) {
    const isReadable = await canRead(upload.file);
    if (upload.state !== "running") return; // cancelled
    const isTemporary = isReadable && ([0, 401, 429].includes(error.status) || error.status >= 500);
    if (isTemporary) show(upload, "waiting");
    else show(upload, "failed", isReadable ? error.message : "The file cannot be read");
    if (isTemporary && error.status !== 401) problem = error.message; // 401: until the next sign-in
  }
  startUploads();
  if (problem || !left()) announce(page.summary.textContent);
}

// XMLHttpRequest, because fetch does not report the progress of an upload.
function send(upload, sent) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    form.append("file", upload.file);
    const request = (upload.request = new XMLHttpRequest());
    let timer = setTimeout(() => request.abort(), PATIENCE);
    request.open("POST", "images");
    request.responseType = "json";
    request.setRequestHeader("Authorization", `Bearer ${sent}`);
    request.setRequestHeader("Idempotency-Key", upload.key);
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      clearTimeout(timer);
      timer = setTimeout(() => request.abort(), PATIENCE);
      const percent = Math.floor((100 * loaded) / total);
      upload.row.querySelector("progress").value = loaded / total;
      upload.row.querySelector(".state").textContent = loaded < total ? `${percent} %` : "Checking";
    });
    request.addEventListener("loadend", () => {
      clearTimeout(timer);
      try {
        if (request.status === 0) throw failure(0, { detail: NO_ANSWER });
        resolve(accept(request.status, request.response, sent));
      } catch (error) {
        reject(error);
      }
    });
    request.send(form);
  });
}

// A file that was deleted or changed after it was chosen fails like a lost connection.
function canRead(file) {
  return file.slice(0, 1).arrayBuffer().then(() => true, () => false);
}

function resume() {
  problem = "";
  startUploads();
}

function remove(upload) {
  uploads = uploads.filter((other) => other !== upload);
  upload.state = "cancelled";
  upload.row.remove();
  upload.request?.abort();
  startUploads();
}

export function clearUploads() {
  const all = uploads;
  uploads = []; // so that none of them starts now
  problem = "";
  for (const upload of all) remove(upload);
  page.announcer.replaceChildren();
}

// ---- Rows and the summary

function count(state) {
  return uploads.filter((upload) => upload.state === state).length;
}

function first(state) {
  return uploads.find((upload) => upload.state === state);
}

function left() {
  return count("waiting") + count("running");
}

// Only running and failed uploads have a row. The summary counts the others.
function show(upload, state, words = "") {
  const { file, row } = upload;
  upload.state = row.className = state;
  row.querySelector(".state").textContent = words;
  row.querySelector("progress").value = 0;
  const button = row.querySelector("button");
  button.textContent = state === "failed" ? "Dismiss" : "Cancel";
  button.ariaLabel = `${button.textContent} ${file.name}`;
  if (state === "running" || state === "failed") page.uploads.append(row);
  else row.remove();
  if (state === "failed") announce(`${file.name}: ${words}`);
}

function summarize() {
  const [done, failed, all] = [count("done"), count("failed"), uploads.length];
  const words = [`Uploaded ${done} of ${all}`];
  if (failed) words.push(`${failed} failed`);
  if (problem && left()) words.push(`${left()} waiting. ${problem}`);
  page.summary.textContent = words.join(", ");
  page.total.value = all && (done + failed) / all;
  page.retry.hidden = !problem || !left();
  page.clear.textContent = left() ? "Cancel all" : "Dismiss all";
  page.batch.hidden = all === 0;
}

// Screen readers say each text that is added here.
export function announce(words) {
  const line = document.createElement("p");
  line.textContent = words;
  page.announcer.append(line);
}
