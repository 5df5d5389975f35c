// The script of the page of the jobs. It contains no HTML: elements come from the page's template. Texts
// of users and of the server go into textContent, where they stay text.

import { call, newName, page, request, signedIn, start } from "../home/sign_in.js";

const PAGE = 20; // jobs in one request
// A browser opens six connections to a server, for all of its tabs together.
const STREAMS_AT_ONCE = 2;
const PATIENCE = 15_000; // milliseconds for an answer
const UPLOAD_PATIENCE = 300_000; // milliseconds for a file of 5 MiB on a slow line
const SILENCE = 40_000; // milliseconds: the server sends something every 15 s, so the line is dead
const LONGEST_WAIT = 30_000; // milliseconds between attempts to follow a job
const FINISHED = ["succeeded", "failed", "cancelled"];
const ORDER = ["running", "queued", "scheduled"];

const shown = new Map(); // id → { job, row, stream }

function enter() {
  page.jobs.hidden = false;
  loadMore();
}

function exit() {
  page.jobs.hidden = true;
  [...shown.values()].forEach(remove);
}

function forget() {
  page.submission.reset();
  page.problem.textContent = "";
  page.announcer.replaceChildren();
}

// ---- Submitting

// The name of this submission. If the answer is lost and the user submits again, the server finds the
// name and answers with the job that it already has. Other input is another submission.
let key = newName();
page.submission.addEventListener("input", () => (key = newName()));

page.submission.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (page.submission.ariaBusy === "true") return; // a second click
  const [file] = page.file.files;
  const text = page.text.value;
  if (Boolean(file) === Boolean(text.trim())) {
    page.problem.textContent = file ? "Choose one of them: a text or a file" : "Write a text or choose a file";
    page.text.focus();
    return;
  }
  const run_at = page.runAt.value && new Date(page.runAt.value).toISOString();
  const [path, body] = file ? ["jobs/file", asForm({ file, run_at })] : ["jobs", asJson({ text, run_at })];
  page.submission.ariaBusy = "true";
  page.problem.textContent = "";
  try {
    const headers = { "Idempotency-Key": key };
    const response = await call("POST", path, { body, headers, patience: UPLOAD_PATIENCE });
    const job = await response.json();
    page.submission.reset();
    key = newName();
    show(job, true);
    describe();
    shown.get(job.id).row.focus();
  } catch (error) {
    page.problem.textContent = `${error.message}. Press the button again: nothing is analysed twice.`;
    if (error.status >= 400 && error.status < 500) page.problem.textContent = error.message;
  }
  page.submission.ariaBusy = "false";
});

function asForm({ file, run_at }) {
  const form = new FormData();
  form.append("file", file);
  if (run_at) form.append("run_at", run_at);
  return form;
}

function asJson({ text, run_at }) {
  const job = run_at ? { text, run_at } : { text };
  return new Blob([JSON.stringify(job)], { type: "application/json" });
}

// ---- The list

page.more.addEventListener("click", loadMore);

async function loadMore() {
  if (page.list.ariaBusy === "true") return;
  page.list.ariaBusy = "true";
  describe("Loading");
  try {
    // One more than the page shows: if the server sends it, there are more jobs.
    const jobs = await request("GET", `jobs?limit=${PAGE + 1}&offset=${shown.size}`);
    page.more.hidden = jobs.length <= PAGE;
    for (const job of jobs.slice(0, PAGE)) show(job);
    describe();
  } catch (error) {
    page.more.hidden = false;
    describe(error.message);
  }
  page.list.ariaBusy = "false";
}

// Shows a message about the list. By default it says whether the list is empty.
function describe(words = shown.size ? "" : "No jobs yet.") {
  page.status.textContent = words;
}

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const NUMBER = new Intl.NumberFormat();

// Shows the state of a job, in its row or in a new one.
function show(job, isNew = false) {
  const one = shown.get(job.id) ?? addRow(job, isNew);
  const before = one.job?.status;
  one.job = job;
  const { row } = one;
  row.className = job.status;
  row.querySelector(".state").textContent = stateOf(job);
  row.querySelector("progress").value = job.progress;
  row.querySelector(".facts").textContent = factsOf(job);
  row.querySelector(".show").hidden = job.status !== "succeeded";
  const cancel = row.querySelector(".cancel");
  const canBeCancelled = ["scheduled", "queued"].includes(job.status);
  if (!canBeCancelled && document.activeElement === cancel) row.focus(); // the button disappears
  cancel.hidden = !canBeCancelled;
  if (before && before !== job.status && FINISHED.includes(job.status)) {
    announce(`The job of ${DATE.format(new Date(job.created_at))}: ${stateOf(job)}`);
  }
  if (before !== job.status) followJobs();
}

function addRow(job, isNew) {
  const row = page.jobTemplate.content.firstElementChild.cloneNode(true);
  const one = { row, stream: null };
  const time = row.querySelector("time");
  time.dateTime = job.created_at;
  time.textContent = DATE.format(new Date(job.created_at));
  row.querySelector("progress").ariaLabel = `Progress of the job of ${time.textContent}`;
  row.querySelector(".report").ariaLabel = `Report of ${time.textContent}`;
  row.querySelector(".cancel").addEventListener("click", () => cancel(one));
  row.querySelector(".show").addEventListener("click", () => toggleReport(one));
  shown.set(job.id, one);
  if (isNew) page.list.prepend(row);
  else page.list.append(row);
  return one;
}

function remove(one) {
  one.stream?.abort();
  one.stream = null;
  if (one.address) URL.revokeObjectURL(one.address);
  shown.delete(one.job.id);
  one.row.remove();
}

function stateOf({ status, progress, run_at, error }) {
  if (status === "scheduled") return `Starts at ${DATE.format(new Date(run_at))}`;
  if (status === "queued") return "Waiting for a worker";
  if (status === "running") return `Running: ${progress} %`;
  if (status === "succeeded") return "Done";
  return status === "failed" ? `Failed: ${error}` : "Cancelled";
}

function factsOf({ result }) {
  if (!result) return "";
  const { words, unique_words, sentences, characters } = result;
  const counts = { Words: words, "Different words": unique_words, Sentences: sentences, Characters: characters };
  return Object.entries(counts).map(([name, count]) => `${name}: ${NUMBER.format(count)}`).join(" · ");
}

function announce(words) {
  const line = document.createElement("p");
  line.textContent = words;
  page.announcer.append(line);
}

// ---- Following the jobs

// Opens a stream for each of the next jobs to finish, and closes the others. A hidden page needs none.
function followJobs() {
  const waiting = [...shown.values()].filter(({ job }) => ORDER.includes(job.status));
  waiting.sort(({ job: a }, { job: b }) => {
    const byState = ORDER.indexOf(a.status) - ORDER.indexOf(b.status);
    return byState || new Date(a.run_at ?? a.created_at) - new Date(b.run_at ?? b.created_at);
  });
  const chosen = signedIn && !document.hidden ? waiting.slice(0, STREAMS_AT_ONCE) : [];
  for (const one of shown.values()) {
    if (chosen.includes(one)) {
      if (!one.stream) follow(one);
    } else {
      one.stream?.abort();
      one.stream = null;
    }
  }
}
document.addEventListener("visibilitychange", followJobs);

// Follows a job until it has finished or `followJobs` ends its stream. After an error it tries again,
// after a random pause that doubles each time, or when the browser is online again.
async function follow(one) {
  const stream = (one.stream = new AbortController());
  for (let wait = 1000; one.stream === stream; wait = Math.min(LONGEST_WAIT, 2 * wait)) {
    try {
      for await (const job of events(one.job.id, stream.signal)) {
        if (one.stream !== stream) return;
        wait = 1000;
        if (page.status.textContent === LOST) describe();
        show(job);
      }
    } catch (error) {
      if (one.stream !== stream) return;
      if (error.status === 404) return remove(one); // its time is over
      if (error.status === 401) return; // the page shows the form
      describe(LOST);
    }
    await pause(wait * (0.5 + Math.random() / 2), stream.signal);
  }
}

const LOST = "No connection: trying again";

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
    window.addEventListener("online", resolve, { once: true, signal });
    signal.addEventListener("abort", resolve);
  });
}

// Yields the job at each event of its stream. fetch, because an EventSource cannot send the access
// token; the cookie of the session is only for the sign-in.
async function* events(id, signal) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE);
  try {
    const signals = AbortSignal.any([signal, silence.signal]);
    const response = await call("GET", `jobs/${id}/events`, { signal: signals, patience: 0 });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE);
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const data = block.split("\n").find((line) => line.startsWith("data:"));
        if (data) yield JSON.parse(data.slice("data:".length)); // a block without data keeps the line open
      }
    }
  } finally {
    clearTimeout(timer);
    silence.abort(); // ends the request, also when nobody reads on
  }
}

// ---- Cancelling and reports

async function cancel(one) {
  const message = one.row.querySelector(".message");
  message.textContent = "";
  try {
    show(await request("DELETE", `jobs/${one.job.id}`));
  } catch (error) {
    message.textContent = error.message;
    // The job may have begun, or the answer to an earlier request was lost.
    if (error.status) request("GET", `jobs/${one.job.id}`).then(show).catch(() => {});
  }
}

async function toggleReport(one) {
  const [message, button, link, report] = one.row.querySelectorAll(".message, .show, .download, .report");
  message.textContent = "";
  try {
    if (!one.address) {
      const text = await (await call("GET", `jobs/${one.job.id}/report`)).text();
      one.address = URL.createObjectURL(new Blob([text], { type: "text/markdown" }));
      report.textContent = text;
      link.href = one.address;
      link.download = `report ${one.job.created_at.slice(0, 19).replaceAll(":", "-")}.md`;
    }
    report.hidden = !report.hidden;
    link.hidden = false;
    button.ariaExpanded = String(!report.hidden);
  } catch (error) {
    message.textContent = error.message;
  }
}

start({ enter, exit, forget, focus: page.heading, patience: PATIENCE });
