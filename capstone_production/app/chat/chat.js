// The script of the chat page. It contains no HTML: elements come from the page's templates. Text from
// users goes into textContent, where it stays text.

import { leave, page, request, session, start, token } from "../home/sign_in.js";

const PAGE = 50; // messages in one request for history
const GAP_PAGE = 100; // messages in one request after a lost connection: the server's maximum
const MAX_LENGTH = 2000; // characters; the server decides, this check saves a request
const COUNTED_FROM = 1800; // characters from which on the page shows how many are left
const GROUP = 5 * 60_000; // milliseconds in which messages of one author form a group
const PAUSE = 250; // milliseconds between waiting messages: the server takes five a second
const SLOW_DOWN = 1000; // milliseconds, about, after the server has said "Too fast"
const PATIENCE = 15_000; // milliseconds without a reply, after which the connection counts as dead
const LONGEST_WAIT = 30_000; // milliseconds between attempts to connect

let me = null;

// ---- Signing in and out

function enter() {
  showRoom(true);
  showOutbox();
  measureDraft();
  attempts = 0;
  connect();
}

// The draft and the unconfirmed messages stay for the next sign-in.
function exit() {
  me = null;
  disconnect();
  clearTimeout(reconnection);
  clearInterval(ticking);
  showRoom(false);
  page.messages.replaceChildren();
  page.online.replaceChildren();
  shown.clear();
  oldest = newest = null;
}

function showRoom(visible) {
  page.room.hidden = page.connection.hidden = !visible;
  page.newest.hidden = page.older.hidden = true;
  page.start.textContent = "";
  setUnread(0);
}

// ---- The connection

let socket = null;
let attempts = 0;
let reconnection = null;
let ticking = null;

async function connect() {
  clearTimeout(reconnection);
  clearInterval(ticking);
  disconnect();
  showStatus("Connecting");
  const mine = session;
  try {
    // A browser does not tell why a socket was refused. This request does: a 401 ends the session.
    me = await request("GET", "users/me");
    page.user.textContent = me.username;
    if (newest === null) await loadOlder();
  } catch {
    if (mine === session) reconnect();
    return;
  }
  if (mine !== session) return;
  const address = new URL("ws/chat", document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  const opened = new WebSocket(address, ["bearer", token]);
  socket = opened;
  opened.addEventListener("open", () => socket === opened && closeGap(opened));
  opened.addEventListener("message", ({ data }) => socket === opened && take(JSON.parse(data)));
  opened.addEventListener("close", ({ code, reason }) => {
    if (socket !== opened) return;
    if (code === 1008) leave("Your session has ended: sign in again.");
    else reconnect(reason);
  });
}

// Forgets the socket at once: a closing handshake with a dead network takes a minute.
function disconnect() {
  const old = socket;
  socket = null;
  caughtUp = false;
  clearTimeout(patience);
  awaited = null;
  old?.close();
}

// Reconnects after a random pause that doubles each time, so after a restart of the server not all
// clients come back at once. `reason` is the server's reason for closing, if it gave one.
function reconnect(reason) {
  disconnect();
  clearTimeout(reconnection);
  clearInterval(ticking);
  if (!navigator.onLine) return showStatus("Offline"); // the event "online" follows
  const wait = Math.min(LONGEST_WAIT, 1000 * 2 ** attempts) * (0.5 + Math.random() / 2);
  attempts += 1;
  const at = Date.now() + wait;
  const tick = () => {
    page.countdown.textContent = ` in ${Math.max(1, Math.ceil((at - Date.now()) / 1000))} s`;
  };
  showStatus(reason ? `${reason}. Reconnecting` : "Reconnecting");
  tick();
  ticking = setInterval(tick, 1000);
  reconnection = setTimeout(connect, wait);
}

function connectNow() {
  if (token && !socket) connect();
}
page.connectNow.addEventListener("click", () => {
  page.text.focus(); // the button is about to disappear
  connectNow();
});
window.addEventListener("online", connectNow);
window.addEventListener("offline", () => token && reconnect());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  if (isAtBottom) setUnread(0);
  if (page.connectNow.checkVisibility()) connectNow();
});

function showStatus(words) {
  page.status.textContent = words;
  page.countdown.textContent = "";
  page.connection.className = words === "Connected" ? "connected" : "";
  page.connectNow.hidden = words === "Connecting" || words === "Connected";
}

function take(frame) {
  if (frame.type === "presence") showOnline(frame.online);
  if (frame.type === "error") refused(frame);
  if (frame.type === "message") {
    add([frame]);
    // Until the gap is closed, a later message must not change `newest`.
    if (caughtUp) newest = frame.id;
    if (frame.user.id === me.id) confirmed(frame.client_id);
  }
}

// ---- History

const shown = new Map(); // the messages on the page: id → element
let oldest = null; // the first id we have; null before the first page
let newest = null; // up to this id no message is missing
let caughtUp = false;
let loading = false;

// Loads the messages that were sent while the page was offline. The socket is open already, so no
// message is lost between the last page and the first live message.
async function closeGap(opened) {
  try {
    let messages;
    do {
      messages = await request("GET", `chat/messages?after=${newest}&limit=${GAP_PAGE}`);
      if (socket !== opened) return;
      add(messages);
      newest = messages.at(-1)?.id ?? newest;
    } while (messages.length === GAP_PAGE);
  } catch {
    if (socket === opened) reconnect();
    return;
  }
  newest = Math.max(newest, ...shown.keys());
  caughtUp = true;
  attempts = 0;
  showStatus("Connected");
  sendNext();
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
    page.start.textContent = oldest ? "" : "This is where the conversation begins";
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

// Adds each message once and in order. The part that the reader looks at does not move.
function add(messages, isHistory = false) {
  const fresh = messages.filter(({ id }) => !shown.has(id));
  const { scrollTop, scrollHeight } = page.log;
  for (const message of fresh) {
    const article = articleOf(message);
    shown.set(message.id, article);
    insert(article, message.id);
    // The stored message replaces the unconfirmed one.
    if (message.user.id === me.id) removeFromOutbox(message.client_id);
  }
  if (isAtBottom) scrollToBottom();
  else if (isHistory) page.log.scrollTop = scrollTop + page.log.scrollHeight - scrollHeight;
  if (isHistory) return;
  const fromOthers = fresh.filter(({ user }) => user.id !== me.id).length;
  if (fromOthers && (!isAtBottom || document.hidden)) setUnread(unread + fromOthers);
}

// A new message usually goes to the end, above the unconfirmed messages.
function insert(article, id) {
  let next = null;
  for (let e = page.messages.lastElementChild; e && e.order > id; e = e.previousElementSibling) next = e;
  article.order = id;
  page.messages.insertBefore(article, next);
  arrange(article);
  if (next) arrange(next);
}

// ---- Sending

// The messages that the server has not confirmed, in order. Each has a client_id, so the server stores
// it once, however often it is sent. The tab keeps them, so a reload loses none.
let outbox = [];
let awaited = null; // the message that waits for a reply; only one, because an error may have no client_id
let patience = null;

page.composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = page.text.value;
  page.text.focus(); // the button had the focus
  if (!text.trim() || lengthOf(text) > MAX_LENGTH) return;
  const message = { client_id: newClientId(), text, sent_at: new Date().toISOString() };
  outbox.push(message);
  showPending(message);
  page.text.value = "";
  measureDraft();
  saveOutbox();
  scrollToBottom();
  sendNext();
});

page.text.addEventListener("keydown", (event) => {
  // While an input method composes a word (Chinese, Japanese), Enter belongs to it.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  page.composer.requestSubmit();
});
page.text.addEventListener("input", measureDraft);

function sendNext() {
  const message = outbox.find(({ problem }) => !problem);
  if (!message || awaited || !caughtUp || socket?.readyState !== WebSocket.OPEN) return;
  awaited = message;
  patience = setTimeout(() => reconnect(), PATIENCE);
  socket.send(JSON.stringify({ text: message.text, client_id: message.client_id }));
}

function confirmed(clientId) {
  if (awaited?.client_id === clientId) settle();
}

// After "Too fast" a pause helps: all tabs of a user share the limit. The page shows any other problem,
// and the reader decides.
function refused({ detail, client_id }) {
  if (!awaited || (client_id && client_id !== awaited.client_id)) return;
  if (detail.startsWith("Too fast")) return settle(SLOW_DOWN * (0.5 + Math.random()));
  awaited.problem = detail;
  showState(awaited);
  saveOutbox();
  settle();
}

function settle(pause = PAUSE) {
  clearTimeout(patience);
  awaited = null;
  if (outbox.length) setTimeout(sendNext, pause);
}

function showPending(message) {
  message.article = articleOf({ ...message, user: me ?? { username: page.user.textContent } });
  message.article.classList.add("own");
  insert(message.article, Infinity);
  message.article.querySelector(".retry").addEventListener("click", () => {
    delete message.problem;
    showState(message);
    page.text.focus();
    sendNext();
  });
  showState(message);
}

function showState({ article, problem }) {
  article.classList.toggle("pending", !problem);
  article.classList.toggle("failed", Boolean(problem));
  article.querySelector(".state").textContent = problem ? `Not sent. ${problem}` : "Sending";
  article.querySelector(".retry").hidden = !problem;
}

function removeFromOutbox(clientId) {
  const index = outbox.findIndex(({ client_id }) => client_id === clientId);
  if (index < 0) return;
  const [{ article }] = outbox.splice(index, 1);
  const next = article.nextElementSibling;
  article.remove();
  if (next) arrange(next);
  saveOutbox();
}

function saveOutbox() {
  sessionStorage.setItem("outbox", JSON.stringify(outbox.map(({ article, ...kept }) => kept)));
}

function showOutbox() {
  outbox = JSON.parse(sessionStorage.getItem("outbox") ?? "[]");
  page.text.value ||= sessionStorage.getItem("draft") ?? "";
  outbox.forEach(showPending);
}

function forgetDraft() {
  page.text.value = "";
  outbox = [];
  sessionStorage.removeItem("draft");
  saveOutbox();
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

// Not crypto.randomUUID: a page that came by plain http from another machine does not have it.
function newClientId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((n) => n.toString(16).padStart(2, "0")).join("");
}

// ---- The view

let isAtBottom = true;
let unread = 0;

page.log.addEventListener("scroll", () => {
  isAtBottom = page.log.scrollHeight - page.log.scrollTop - page.log.clientHeight < 40;
  if (isAtBottom && !document.hidden) setUnread(0);
  if (page.log.scrollTop < 100 && newest !== null) loadOlder().catch(() => {}); // the button stays
});
page.newest.addEventListener("click", () => {
  scrollToBottom();
  page.text.focus();
});
// The keyboard of a phone or a long draft takes space: the last message stays visible.
new ResizeObserver(() => isAtBottom && scrollToBottom()).observe(page.log);

function scrollToBottom() {
  page.log.scrollTop = page.log.scrollHeight;
  isAtBottom = true;
  if (!document.hidden) setUnread(0);
}

function setUnread(count) {
  unread = count;
  document.title = count ? `(${count}) Chat` : "Chat";
  page.newest.textContent = count === 1 ? "1 new message ↓" : `${count} new messages ↓`;
  page.newest.hidden = count === 0 || isAtBottom;
}

const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

function articleOf({ user, text, sent_at }) {
  const article = page.messageTemplate.content.firstElementChild.cloneNode(true);
  const sent = new Date(sent_at);
  const [author, time] = article.querySelectorAll(".author, time");
  Object.assign(article, { author: user.username, sent });
  article.classList.toggle("own", user.id === me?.id);
  article.style.setProperty("--hue", hueOf(user.username));
  author.textContent = user.username;
  time.dateTime = sent_at;
  time.textContent = TIME.format(sent);
  time.title = FULL.format(sent);
  article.querySelector(".text").textContent = text;
  return article;
}

// Shows the author and the day of a message if they differ from those of the message above.
function arrange(article) {
  for (const one of [article, article.nextElementSibling]) {
    if (!one) continue;
    const above = one.previousElementSibling;
    const isNewDay = above?.sent.toDateString() !== one.sent.toDateString();
    const day = one.querySelector(".day");
    day.hidden = !isNewDay;
    day.textContent = isNewDay ? DAY.format(one.sent) : "";
    const goesOn = !isNewDay && above.author === one.author && one.sent - above.sent < GROUP;
    one.classList.toggle("first", !goesOn);
  }
}

function showOnline(people) {
  page.onlineCount.textContent = people.length;
  page.online.replaceChildren(
    ...people.map(({ id, username }) => {
      const row = page.personTemplate.content.firstElementChild.cloneNode(true);
      const [initial, name] = row.children;
      initial.textContent = username[0].toUpperCase();
      initial.style.setProperty("--hue", hueOf(username));
      name.textContent = name.title = username;
      if (id === me?.id) row.append(" (you)");
      return row;
    }),
  );
}

// Returns the hue of a name: always the same.
function hueOf(name) {
  return [...name].reduce((sum, character) => (sum * 31 + character.codePointAt(0)) % 360, 7);
}

start({ enter, exit, forget: forgetDraft, focus: page.text, patience: PATIENCE });
