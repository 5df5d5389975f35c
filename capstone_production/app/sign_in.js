// Signs users in and out on a page, keeps them signed in, and calls the API for them. A page that has
// the form for it (`form`, `message`, `username`, `password`, `user`, `signOut`) calls `start`.
//
// The refresh token is in a cookie that no script can read (app/session/router.py). The access token is
// only in this module, so it ends with the page. localStorage, which all tabs share, has the name of
// the user and of an unanswered attempt. Neither of them signs a thief in.

// Every element that has an id, by that id.
export const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((e) => [e.id, e]));

export let signedIn = Boolean(localStorage.getItem("user")); // it is "" after a sign-out
export let session = new AbortController(); // aborted at sign-out, with its requests

const PATIENCE = 15_000; // milliseconds for an answer about the session: other tabs wait for it
const LOST = { detail: "No answer: the connection was lost" };
const ENDED = "Your session has ended: sign in again.";

let parts = null;

// Starts the page. Its parts: `enter` shows the data of the user, `exit` hides them, `forget` removes
// data that another user must not see, `focus` is the element that gets the focus first, and `patience`
// the milliseconds that an answer may take (without it there is no limit).
export function start(partsOfPage) {
  parts = partsOfPage;
  page.form.addEventListener("submit", signIn);
  page.signOut.addEventListener("click", signOut);
  window.addEventListener("online", finishSignOut);
  window.addEventListener("storage", ({ key }) => (key === "user" || key === null) && follow());
  window.addEventListener("pageshow", ({ persisted }) => persisted && follow());
  finishSignOut();
  if (signedIn) enter();
  else page.form.hidden = false;
}

// ---- The access token

export let token = null; // the newest one; it may have expired, so most requests ask freshToken
let freshUntil = 0; // in milliseconds: after this time the page gets another token
let renewal = null;

// Returns an access token that stays valid for a while, or null when nobody is signed in.
export async function freshToken() {
  if (!signedIn || Date.now() < freshUntil) return token;
  const mine = session;
  renewal ??= alone(renew).finally(() => (renewal = null));
  await renewal;
  if (mine !== session) throw failure(0, LOST); // another user may be signed in now
  return token;
}

async function renew() {
  follow(); // the cookie may already belong to another user
  if (!signedIn) return;
  // An attempt without an answer is repeated under its name, also after a reload and in another tab.
  const attempt = localStorage.getItem("attempt") ?? newName();
  localStorage.setItem("attempt", attempt);
  try {
    keep(await ask("PUT", attempt));
    localStorage.removeItem("attempt");
  } catch (error) {
    if (error.status === 401) {
      localStorage.removeItem("attempt");
      localStorage.removeItem("user"); // the other tabs follow
      if (signedIn) leave(ENDED);
    }
    throw error;
  }
}

// Keeps the token of an answer. The last fifth of its time is a reserve for slow requests.
function keep({ access_token, expires_in, asked }) {
  if (!signedIn) return;
  token = access_token;
  freshUntil = asked + expires_in * 800;
}

// Makes a request about the session and returns its answer. It goes on when the page is left, so that
// the browser gets the new cookie.
async function ask(method, attempt, body) {
  const asked = Date.now();
  const headers = { "X-Attempt": attempt };
  const signal = AbortSignal.timeout(PATIENCE);
  let response;
  try {
    response = await fetch("auth/session", { method, body, headers, signal, keepalive: true });
  } catch {
    throw failure(0, LOST);
  }
  return { ...accept(response.status, await response.json().catch(() => null)), asked };
}

// Runs the task while no other tab of this browser runs one: two requests must not use one cookie.
// By plain http from another machine a page has no locks. There the name of the attempt is enough.
function alone(task) {
  return navigator.locks ? navigator.locks.request("session", task) : task();
}

// ---- Talking to the API

// Returns the response to a request; throws an error with its `status`, which is 0 without an answer.
export async function call(method, path, { body, headers, signal, patience = parts.patience } = {}) {
  for (let isFirst = true; ; isFirst = false) {
    const sent = await freshToken();
    const limits = [session.signal, signal, patience && AbortSignal.timeout(patience)];
    let response;
    try {
      response = await fetch(path, {
        method,
        body,
        headers: { ...headers, ...(sent && { Authorization: `Bearer ${sent}` }) },
        signal: AbortSignal.any(limits.filter(Boolean)),
      });
    } catch {
      throw failure(0, LOST);
    }
    if (response.ok) return response;
    const answer = await response.json().catch(() => null);
    // The clock of this machine may have stood still: a second token decides.
    const isRefused = response.status === 401 && sent && isFirst;
    if (isRefused) refuse(sent);
    else throw failure(response.status, answer);
  }
}

// Returns the JSON of the answer to a request, or null; throws as `call`.
export async function request(method, path, body, headers) {
  const response = await call(method, path, { body, headers });
  return accept(response.status, await response.json().catch(() => null));
}

// Returns a successful answer, else throws an error. A refused token is not used again.
export function accept(status, answer, sent) {
  if (status === 204 || (status >= 200 && status < 300 && answer)) return answer;
  if (status === 401) refuse(sent);
  throw failure(status, answer);
}

function refuse(sent) {
  if (sent === token) freshUntil = 0;
}

// Returns an error with the answer's `detail` as its message: a text, or for 422 a list of problems.
export function failure(status, answer) {
  let words = answer?.detail ?? `The server answered ${status} and gave no reason`;
  if (Array.isArray(words)) {
    const about = ({ loc, msg }) => `${loc.at(-1)}: ${msg.replace("Value error, ", "")}`;
    words = words.map(about).join("; ");
  }
  return Object.assign(new Error(words), { status });
}

// Returns a random name. crypto.randomUUID is missing where a page came by plain http.
export function newName() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((n) => n.toString(16).padStart(2, "0")).join("");
}

// ---- Signing in and out

async function signIn(event) {
  event.preventDefault();
  if (page.form.ariaBusy === "true") return; // a second click
  page.form.ariaBusy = "true";
  page.message.textContent = "";
  const fields = new FormData(page.form);
  try {
    if (event.submitter?.value === "register") {
      const json = JSON.stringify(Object.fromEntries(fields));
      await request("POST", "auth/register", new Blob([json], { type: "application/json" }));
    }
    await alone(async () => {
      const answer = await ask("POST", newName(), new URLSearchParams(fields));
      signedIn = true;
      keep(answer);
      localStorage.removeItem("signingOut");
      localStorage.setItem("user", fields.get("username")); // the other tabs follow
    });
    page.password.value = "";
    enter();
    parts.focus.focus();
  } catch (error) {
    page.message.textContent = error.message;
  }
  page.form.ariaBusy = "false";
}

function enter() {
  // Uploads and drafts outlive a session, but another user must not see them. The server treats names
  // in upper and lower case as equal.
  const user = localStorage.getItem("user");
  if (sessionStorage.getItem("user")?.toLowerCase() !== user.toLowerCase()) forget();
  sessionStorage.setItem("user", user);
  page.user.textContent = user;
  page.account.hidden = false;
  page.form.hidden = true;
  parts.enter();
}

// Removes the data of the user, also those of other pages in this tab.
function forget() {
  sessionStorage.clear();
  parts.forget();
}

function signOut() {
  forget();
  localStorage.setItem("user", ""); // the other tabs follow
  localStorage.setItem("signingOut", "yes");
  leave("");
  finishSignOut();
}

// Tells the server about a sign-out. Without an answer the page tries again when it is back online, and
// so does each page that is opened.
async function finishSignOut() {
  if (!localStorage.getItem("signingOut")) return;
  await alone(async () => {
    if (!localStorage.getItem("signingOut")) return; // somebody has signed in
    await ask("DELETE", newName());
    localStorage.removeItem("signingOut");
  }).catch(() => {});
}

// Does what another tab of this browser has done: signed in, signed out, or lost the session.
function follow() {
  const user = localStorage.getItem("user");
  if (signedIn && user !== sessionStorage.getItem("user")) {
    if (user === "") forget();
    leave(user === null ? ENDED : "You have signed out in another tab.");
  }
  if (signedIn || !user) return;
  signedIn = true;
  enter();
}

// Ends the session on this page and shows a message, which is empty when the user has signed out here.
export function leave(message) {
  signedIn = false;
  token = null;
  freshUntil = 0;
  session.abort();
  session = new AbortController();
  page.account.hidden = true;
  page.form.hidden = false;
  parts.exit();
  page.message.textContent = message;
  page.username.value ||= sessionStorage.getItem("user"); // a reload empties the field
  (page.username.value ? page.password : page.username).focus();
}
