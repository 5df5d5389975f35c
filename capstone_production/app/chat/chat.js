// The script of the chat page. It signs in and out, and connects the parts:
// connection.js keeps the socket, messages.js the conversation, compose.js the unsent messages.
// No script contains HTML: elements come from the page's templates. Text from users goes into
// textContent, where it stays text.

import { hueOf } from "./article.js";
import { confirmed, forget, lost, pauseOutbox, refused, sendNext, showOutbox } from "./compose.js";
import { close, open, PATIENCE } from "./connection.js";
import { clear, closeGap, loadNewest, me, receive } from "./messages.js";
import { freshToken, page, request, start } from "../home/sign_in.js";

const parts = { prepare, closeGap, ready: sendNext, take, lost, expired }; // see connection.js

function enter() {
  page.room.hidden = page.connection.hidden = false;
  showOutbox();
  open(parts);
}

// The draft and the unconfirmed messages stay for the next sign-in.
function exit() {
  close();
  pauseOutbox();
  clear();
  page.online.replaceChildren();
  page.room.hidden = page.connection.hidden = true;
}

// A browser does not tell why a socket was refused. This request does: a 401 ends the session.
async function prepare() {
  Object.assign(me, await request("GET", "users/me"));
  page.user.textContent = me.username;
  await loadNewest();
  return freshToken();
}

// Connects at once: `prepare` gets another token, or the session has ended.
function expired() {
  open(parts);
}

function take(frame, isCaughtUp) {
  if (frame.type === "presence") showOnline(frame.online);
  if (frame.type === "error") refused(frame);
  if (frame.type === "message") {
    receive(frame, isCaughtUp);
    if (frame.user.id === me.id) confirmed(frame.client_id);
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
      if (id === me.id) row.append(" (you)");
      return row;
    }),
  );
}

start({ enter, exit, forget, focus: page.text, patience: PATIENCE });
