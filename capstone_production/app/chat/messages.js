// The conversation: each stored message is shown once and in order, below the history, above the
// unconfirmed messages.

import { arrange, articleOf, showTime } from "./article.js";
import { page, request } from "../home/sign_in.js";

const PAGE = 50; // messages in one request for history
const GAP_PAGE = 100; // messages in one request after a lost connection: the server's maximum

export const me = {}; // the signed-in user

const shown = new Map(); // the stored messages on the page: id → element
const unconfirmed = new Map(); // the unconfirmed messages on the page: client_id → element
let oldest = null; // the first id we have; null before the first page
let newest = null; // up to this id no message is missing
let loading = false;
let tellConfirmed = null;

// Calls the function with the client_id of each own message that turns out to be stored.
export function whenConfirmed(tell) {
  tellConfirmed = tell;
}

export function clear() {
  for (const map of [shown, unconfirmed]) map.clear();
  for (const name of Object.keys(me)) delete me[name];
  page.messages.replaceChildren();
  page.start.textContent = "";
  page.older.hidden = true;
  oldest = newest = null;
  isAtBottom = true;
  setUnread(0);
}

// ---- History

export async function loadNewest() {
  if (newest === null) await loadOlder();
}

async function loadOlder() {
  if (loading || oldest === 0) return;
  loading = true;
  page.log.ariaBusy = "true"; // screen readers do not read out history
  try {
    const before = oldest === null ? "" : `&before=${oldest}`;
    const messages = await request("GET", `chat/messages?limit=${PAGE}${before}`);
    newest ??= messages.at(-1)?.id ?? 0;
    add(messages, true);
    oldest = messages.length < PAGE ? 0 : messages[0].id;
    showStart();
    // The button disappears with the last page: its focus moves to the messages.
    if (oldest === 0 && document.activeElement === page.older) page.log.focus();
    page.older.hidden = oldest === 0;
  } catch (error) {
    page.older.hidden = false;
    if (oldest === null) throw error; // the first page failed: `connect` tries again
  } finally {
    page.log.ariaBusy = "false";
    loading = false;
  }
}

page.older.addEventListener("click", loadOlder);

function showStart() {
  const words = shown.size
    ? "This is where the conversation begins"
    : "Nobody has written anything yet. Say hello: everyone who is online reads it at once.";
  if (oldest === 0 && page.start.textContent !== words) page.start.textContent = words;
}

// Loads the messages that were sent while the page was away. The socket is open already, so no
// message is lost between the last page and the first live message.
export async function closeGap(isCurrent) {
  const hadUnread = unread > 0;
  let messages;
  let missed;
  do {
    messages = await request("GET", `chat/messages?after=${newest}&limit=${GAP_PAGE}`);
    if (!isCurrent()) return;
    const first = add(messages); // not inside of ??=, which would leave out all pages but the first
    missed ??= first;
    newest = messages.at(-1)?.id ?? newest;
  } while (messages.length === GAP_PAGE);
  newest = Math.max(newest, ...shown.keys());
  if (missed && !hadUnread) markNew(missed);
}

// Shows a live message. Until the gap is closed, it must not change `newest`.
export function receive(message, isCaughtUp) {
  add([message]);
  if (isCaughtUp) newest = message.id;
}

// ---- On the page

// Adds each message once and in order. The part that the reader looks at does not move. Returns the
// element of the first new message from another user.
function add(messages, isHistory = false) {
  const fresh = messages.filter(({ id }) => !shown.has(id));
  const { scrollTop, scrollHeight } = page.log;
  for (const message of fresh) {
    const isOwn = message.user.id === me.id;
    const article = (isOwn && adopt(message)) || articleOf(message, isOwn);
    shown.set(message.id, article);
    insert(article, message.id);
  }
  if (isAtBottom) scrollToBottom();
  else if (isHistory) page.log.scrollTop = scrollTop + page.log.scrollHeight - scrollHeight;
  if (isHistory) return undefined;
  showStart();
  const fromOthers = fresh.filter(({ user }) => user.id !== me.id);
  const first = shown.get(fromOthers[0]?.id);
  if (first && (!isAtBottom || document.hidden)) {
    if (unread === 0) markNew(first);
    setUnread(unread + fromOthers.length);
  }
  return first;
}

// Shows a line above the first new message. It stays until the reader writes, or was away again.
function markNew(article) {
  for (const line of page.messages.querySelectorAll(".line:not([hidden])")) line.hidden = true;
  if (article) article.querySelector(".line").hidden = false;
  if (isAtBottom) scrollToBottom(); // the line takes space
}

// "Today" becomes "Yesterday" at midnight, also while nobody writes.
let today = new Date().toDateString();
function renameDays() {
  if (today === new Date().toDateString()) return;
  today = new Date().toDateString();
  for (const article of page.messages.children) arrange(article);
}
setInterval(renameDays, 60_000);

// An own message that is stored keeps its element. A second element for the same message would be
// read out a second time by screen readers.
function adopt({ client_id, sent_at }) {
  const article = unconfirmed.get(client_id);
  if (article) {
    unconfirmed.delete(client_id);
    showTime(article, sent_at);
    tellConfirmed(client_id);
  }
  return article;
}

export function showUnconfirmed(message) {
  markNew(null);
  const article = articleOf({ user: { username: page.user.textContent }, ...message }, true);
  unconfirmed.set(message.client_id, article);
  insert(article, Infinity);
  return article;
}

export function removeUnconfirmed(client_id) {
  const article = unconfirmed.get(client_id);
  const below = article.nextElementSibling;
  unconfirmed.delete(client_id);
  article.remove();
  if (below) arrange(below);
}

// A new message usually goes to the end, above the unconfirmed messages.
function insert(article, id) {
  let next = null;
  for (let e = page.messages.lastElementChild; e && e.order > id; e = e.previousElementSibling) {
    if (e !== article) next = e;
  }
  article.order = id;
  const isInPlace = article.isConnected && article.nextElementSibling === next;
  if (!isInPlace) page.messages.insertBefore(article, next);
  arrange(article);
}

// ---- Scrolling

let isAtBottom = true;
let unread = 0;

page.log.addEventListener("scroll", () => {
  const wasAtBottom = isAtBottom;
  isAtBottom = page.log.scrollHeight - page.log.scrollTop - page.log.clientHeight < 40;
  if (isAtBottom !== wasAtBottom) setUnread(isAtBottom && !document.hidden ? 0 : unread);
  if (page.log.scrollTop < 100 && newest !== null) loadOlder().catch(() => {}); // the button stays
});
page.newest.addEventListener("click", () => {
  scrollToBottom();
  page.text.focus();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  renameDays(); // the timers of a hidden page are slow
  if (isAtBottom) setUnread(0);
});
// The keyboard of a phone or a long draft takes space: the last message stays visible.
new ResizeObserver(() => isAtBottom && scrollToBottom()).observe(page.log);

export function scrollToBottom() {
  page.log.scrollTop = page.log.scrollHeight;
  isAtBottom = true;
  setUnread(document.hidden ? unread : 0);
}

function setUnread(count) {
  unread = count;
  document.title = count ? `(${count}) Chat` : "Chat";
  const words = count === 1 ? "1 new message" : `${count} new messages`;
  page.newest.textContent = `${count ? words : "Newest"} ↓`;
  page.newest.hidden = isAtBottom;
}
