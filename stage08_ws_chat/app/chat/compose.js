// The text field, and the messages that the server has not confirmed. Each has a client_id, so the
// server stores it once, however often it is sent. The tab keeps them, so a reload loses none.

import { PATIENCE, reconnectFromSilence, send } from "./connection.js";
import { removeUnconfirmed, scrollToBottom, showUnconfirmed, whenConfirmed } from "./messages.js";
import { newName, page } from "../home/sign_in.js";

const MAX_LENGTH = 2000; // characters; the server decides, this check saves a request
const COUNTED_FROM = 1800; // characters from which on the page shows how many are left
const PAUSE = 250; // milliseconds between waiting messages: the server takes five a second
const SLOW_DOWN = 1000; // milliseconds, about, after the server has said "Too fast"

// Words for people, in place of the server's words for programs.
const REFUSALS = [
  [/^(text:|Invalid JSON)/, "The text contains a character that cannot be stored. Edit it, then send it again."],
  [/^client_id:/, "Another message has the same number. Edit it: then it gets a new one."],
];

let outbox = []; // in order
let awaited = null; // the message that waits for a reply; only one, because an error may have no client_id
let patience = null;

// ---- Writing

page.composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = page.text.value;
  page.text.focus(); // the button had the focus
  if (!text.trim() || lengthOf(text) > MAX_LENGTH) return;
  const message = { client_id: newName(), text, sent_at: new Date().toISOString() };
  outbox.push(message);
  show(message);
  setText("");
  saveOutbox();
  scrollToBottom();
  sendNext();
});

page.text.addEventListener("keydown", (event) => {
  // While an input method composes a word (Chinese, Japanese), Enter belongs to it. The keyboard of
  // a phone has no Shift+Enter, so there Enter starts a new line.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || isTouched()) return;
  event.preventDefault();
  page.composer.requestSubmit();
});
page.text.addEventListener("input", measureDraft);
page.text.enterKeyHint = isTouched() ? "enter" : "send";

function isTouched() {
  return matchMedia("(pointer: coarse)").matches;
}

function setText(text) {
  page.text.value = text;
  measureDraft();
}

function measureDraft() {
  sessionStorage.setItem("draft", page.text.value);
  const left = MAX_LENGTH - lengthOf(page.text.value);
  const words = left < 0 ? `Too long by ${-left}` : `Characters left: ${left}`;
  page.counter.textContent = left > MAX_LENGTH - COUNTED_FROM ? "" : words;
  page.counter.className = left < 0 ? "hint over" : "hint";
}

// Counts as the server does: 😀 is one character, though JavaScript stores it as two.
function lengthOf(text) {
  return [...text].length;
}

// ---- Sending

export function sendNext() {
  const message = outbox.find(({ problem }) => !problem);
  if (!message || awaited || !send({ text: message.text, client_id: message.client_id })) return;
  awaited = message;
  patience = setTimeout(reconnectFromSilence, PATIENCE);
}

export function confirmed(clientId) {
  if (awaited?.client_id === clientId) settle();
}

// After "Too fast" a pause helps: all tabs of a user share the limit. The page shows any other problem,
// and the reader decides: retry, edit or discard.
export function refused({ detail, client_id }) {
  if (!awaited || (client_id && client_id !== awaited.client_id)) return;
  if (detail.startsWith("Too fast")) return settle(SLOW_DOWN * (0.5 + Math.random()));
  awaited.problem = REFUSALS.find(([start]) => start.test(detail))?.[1] ?? detail;
  showState(awaited);
  saveOutbox();
  settle();
}

function settle(pause = PAUSE) {
  lost();
  if (outbox.length) setTimeout(sendNext, pause);
}

// No reply will come for the awaited message: it is sent again on the next connection.
export function lost() {
  clearTimeout(patience);
  awaited = null;
}

// ---- The unconfirmed messages on the page

function show(message) {
  message.article = showUnconfirmed(message);
  const on = (button, action) => {
    message.article.querySelector(button).addEventListener("click", () => {
      action();
      page.text.focus(); // the button is about to disappear
      sendNext();
    });
  };
  on(".retry", () => {
    delete message.problem;
    showState(message);
  });
  on(".edit", () => {
    discard(message);
    setText([message.text, page.text.value].filter(Boolean).join("\n")); // a draft stays
  });
  on(".discard", () => discard(message));
  showState(message);
}

function showState({ article, problem }) {
  article.classList.toggle("pending", !problem);
  article.classList.toggle("failed", Boolean(problem));
  article.querySelector(".state").textContent = problem ? `Not sent. ${problem}` : "Sending";
}

function discard({ client_id }) {
  removeUnconfirmed(client_id);
  removeFromOutbox(client_id);
}

function removeFromOutbox(clientId) {
  outbox = outbox.filter(({ client_id }) => client_id !== clientId);
  saveOutbox();
}

whenConfirmed((clientId) => {
  const { article } = outbox.find(({ client_id }) => client_id === clientId);
  article.classList.remove("pending", "failed");
  article.querySelector(".problem").remove();
  removeFromOutbox(clientId);
});

// ---- Kept in the tab

function saveOutbox() {
  sessionStorage.setItem("outbox", JSON.stringify(outbox.map(({ article, ...kept }) => kept)));
}

export function showOutbox() {
  outbox = JSON.parse(sessionStorage.getItem("outbox") ?? "[]");
  page.text.value ||= sessionStorage.getItem("draft") ?? "";
  measureDraft();
  outbox.forEach(show);
}

export function pauseOutbox() {
  outbox = []; // the tab keeps them
}

export function forget() {
  outbox = [];
  setText("");
  saveOutbox();
}

// ---- Signing out deletes what is unsent, so the page asks first

let hasAgreed = false;

// A capturing listener runs before the one that signs out.
page.signOut.addEventListener("click", askFirst, { capture: true });
page.stay.addEventListener("click", () => page.leaving.close());
page.leave.addEventListener("click", () => {
  hasAgreed = true;
  page.leaving.close();
  page.signOut.click();
  hasAgreed = false;
});

function askFirst(event) {
  const unsent = outbox.length + (page.text.value.trim() ? 1 : 0);
  if (!unsent || hasAgreed) return;
  event.stopImmediatePropagation();
  page.unsent.textContent = unsent === 1 ? "One message is not sent" : `${unsent} messages are not sent`;
  page.leaving.showModal();
}
