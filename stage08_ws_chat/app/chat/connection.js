// Keeps a socket to the chat: connects again after every loss, and notices a dead connection.

import { page } from "../home/sign_in.js";

export const PATIENCE = 15_000; // milliseconds without a reply, after which the connection counts as dead
const LONGEST_WAIT = 30_000; // milliseconds between attempts to connect
const MISSED = 2; // intervals without a frame, after which the connection counts as dead
const PROBES = 6; // a browser keeps as many connections to one server
const PROBE_PATIENCE = 4000; // milliseconds
const ASSUMED = { interval: 10 }; // seconds; each heartbeat names the interval until the next one

// The functions that the connection calls: `prepare` before each attempt to connect, for the token;
// `closeGap` when the socket is open, `ready` after that, `take` with each frame, `lost` when the
// connection is lost, and `expired` when the server has closed it because the token has expired.
let parts = null;
let isWanted = false; // between the calls of `open` and `close`
let socket = null;
let ready = false; // the socket is open, and the gap is closed
let turn = 0; // counts the connections, so that what belongs to an earlier one is recognised
let attempts = 0;
let reconnection = null;
let ticking = null;
let silence = null;
let heartbeat = ASSUMED;
let isSuspect = false; // the network may have swallowed bytes

export function open(partsOfPage) {
  parts = partsOfPage;
  isWanted = true;
  attempts = 0;
  connect();
}

export function close() {
  isWanted = false;
  disconnect();
}

// Forgets the socket at once: a closing handshake with a dead network takes a minute.
function disconnect() {
  const old = socket;
  socket = null;
  ready = false;
  turn += 1;
  clearTimeout(silence);
  clearTimeout(reconnection);
  clearInterval(ticking);
  parts?.lost();
  old?.close();
}

// Sends the content if the connection is ready; returns whether it is.
export function send(content) {
  const isOpen = ready && socket.readyState === WebSocket.OPEN;
  if (isOpen) socket.send(JSON.stringify(content));
  return isOpen;
}

async function connect() {
  disconnect();
  showStatus("Connecting");
  const mine = turn;
  if (isSuspect) await dropDeadConnections();
  if (mine !== turn) return;
  let token;
  try {
    token = await parts.prepare();
  } catch {
    if (mine === turn) reconnect();
    return;
  }
  if (mine !== turn) return;
  const address = new URL("ws/chat", document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  socket = new WebSocket(address, ["bearer", token]);
  socket.addEventListener("open", () => mine === turn && catchUp(mine));
  socket.addEventListener("message", ({ data }) => mine === turn && take(JSON.parse(data)));
  socket.addEventListener("close", ({ code, reason }) => {
    if (mine !== turn) return;
    if (code === 1008) parts.expired();
    else reconnect(reason);
  });
  expectFrame();
}

async function catchUp(mine) {
  try {
    await parts.closeGap(() => mine === turn);
  } catch {
    if (mine === turn) reconnect();
    return;
  }
  if (mine !== turn) return;
  ready = true;
  attempts = 0;
  showStatus("Connected");
  parts.ready();
}

function take(frame) {
  if (frame.type === "heartbeat") heartbeat = frame;
  expectFrame();
  parts.take(frame, ready);
}

// A network can swallow all bytes without an error: a router has forgotten the connection, or the
// computer slept. A browser hides the pings of the protocol from a page, so the server also sends
// heartbeats. Any frame shows that the connection lives.
function expectFrame() {
  clearTimeout(silence);
  if (!heartbeat) return;
  silence = setTimeout(() => {
    if (heartbeat === ASSUMED) heartbeat = null; // perhaps this server sends none: do not repeat this
    reconnectFromSilence();
  }, MISSED * heartbeat.interval * 1000);
}

export function reconnectFromSilence() {
  isSuspect = true;
  reconnect("The server is silent");
}

// The browser would also reuse its other dead connections, for the next requests. As many requests as
// it keeps connections use each of them: an answer shows that there is a good one, and an aborted
// request closes its connection.
async function dropDeadConnections() {
  isSuspect = false;
  const done = new AbortController();
  const signal = AbortSignal.any([done.signal, AbortSignal.timeout(PROBE_PATIENCE)]);
  const probe = () => fetch("chat/chat.svg", { method: "HEAD", cache: "no-store", signal });
  await Promise.any(Array.from({ length: PROBES }, probe)).catch(() => {});
  done.abort();
}

// Reconnects after a random pause that doubles each time, so after a restart of the server not all
// clients come back at once. `reason` is shown; it may be the server's reason for closing.
function reconnect(reason) {
  disconnect();
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
  if (isWanted && !socket) connect();
}
page.connectNow.addEventListener("click", () => {
  page.text.focus(); // the button is about to disappear
  connectNow();
});
window.addEventListener("online", connectNow);
window.addEventListener("offline", () => isWanted && reconnect());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && page.connectNow.checkVisibility()) connectNow();
});

function showStatus(words) {
  const isWaiting = words !== "Connecting" && words !== "Connected";
  page.status.textContent = words;
  page.countdown.textContent = "";
  page.connectNow.hidden = !isWaiting;
  page.connection.classList.toggle("lost", isWaiting || (words === "Connecting" && attempts > 0));
  page.connection.classList.toggle("connected", words === "Connected");
}
