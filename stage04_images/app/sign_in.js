// Signs users in and out on a page, and calls the API for the signed-in user. A page that has the
// form for it (`form`, `message`, `username`, `password`, `user`, `signOut`) calls `start`.

// Every element that has an id, by that id.
export const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((e) => [e.id, e]));

// sessionStorage ends with this tab, unlike localStorage. Any script of this origin can read it, so
// the Content-Security-Policy lets no foreign script run.
export let token = sessionStorage.getItem("token");
export let session = new AbortController(); // aborted at sign-out, with its requests

let parts = null;

// Starts the page. Its parts: `enter` shows the data of the user, `exit` hides them, `forget` removes
// data that another user must not see, `focus` is the element that gets the focus first, and `patience`
// the milliseconds that an answer may take (without it there is no limit).
export function start(partsOfPage) {
  parts = partsOfPage;
  page.form.addEventListener("submit", signIn);
  page.signOut.addEventListener("click", () => {
    forget();
    leave("");
  });
  if (token) enter();
  else page.form.hidden = false;
}

// ---- Talking to the API

// Returns the answer to a request; throws an error with its `status`, which is 0 without an answer.
export async function request(method, path, body) {
  const sent = token;
  let response;
  try {
    const headers = sent ? { Authorization: `Bearer ${sent}` } : {};
    const limit = parts.patience ? [AbortSignal.timeout(parts.patience)] : [];
    const signal = AbortSignal.any([session.signal, ...limit]);
    response = await fetch(path, { method, body, headers, signal });
  } catch {
    throw failure(0, { detail: "No answer: the connection was lost" });
  }
  return accept(response.status, await response.json().catch(() => null), sent);
}

// Returns a successful answer, else throws an error. A refused token ends the session.
export function accept(status, answer, sent) {
  if (status === 204 || (status >= 200 && status < 300 && answer)) return answer;
  if (status === 401 && sent && sent === token) leave("Your session has ended: sign in again.");
  throw failure(status, answer);
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
    const answer = await request("POST", "auth/token", new URLSearchParams(fields));
    // Uploads and drafts outlive a session, but another user must not see them. The server treats
    // names in upper and lower case as equal.
    const name = fields.get("username").toLowerCase();
    if (sessionStorage.getItem("user")?.toLowerCase() !== name) forget();
    token = answer.access_token;
    sessionStorage.setItem("token", token);
    sessionStorage.setItem("user", fields.get("username"));
    page.password.value = "";
    enter();
    parts.focus.focus();
  } catch (error) {
    page.message.textContent = error.message;
  }
  page.form.ariaBusy = "false";
}

function enter() {
  page.user.textContent = sessionStorage.getItem("user");
  page.account.hidden = false;
  page.form.hidden = true;
  parts.enter();
}

// Removes the data of the user, also those of other pages in this tab.
function forget() {
  sessionStorage.clear();
  parts.forget();
}

// Ends the session and shows a message, which is empty when the user has signed out.
export function leave(message) {
  token = null;
  sessionStorage.removeItem("token");
  session.abort();
  session = new AbortController();
  page.account.hidden = true;
  page.form.hidden = false;
  parts.exit();
  page.message.textContent = message;
  page.username.value ||= sessionStorage.getItem("user"); // a reload empties the field
  (page.username.value ? page.password : page.username).focus();
}
