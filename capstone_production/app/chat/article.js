// The look of one message.

import { linked } from "./links.js";
import { page } from "../home/sign_in.js";

const GROUP = 5 * 60_000; // milliseconds in which messages of one author form a group

const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" }); // "yesterday", not "1 day ago"
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

export function articleOf({ user, text, sent_at }, isOwn) {
  const article = page.messageTemplate.content.firstElementChild.cloneNode(true);
  article.author = user.username;
  article.classList.toggle("own", isOwn);
  article.style.setProperty("--hue", hueOf(user.username));
  article.querySelector(".author").textContent = user.username;
  article.querySelector(".text").append(...linked(text));
  showTime(article, sent_at);
  return article;
}

export function showTime(article, sent_at) {
  const time = article.querySelector("time");
  article.sent = new Date(sent_at);
  time.dateTime = sent_at;
  time.title = FULL.format(article.sent);
  // Setting the same text again would make screen readers read it again.
  const words = TIME.format(article.sent);
  if (time.textContent !== words) time.textContent = words;
}

// Shows the author and the day of a message if they differ from those of the message above. The
// message below may change too.
export function arrange(article) {
  for (const one of [article, article.nextElementSibling]) {
    if (!one) continue;
    const above = one.previousElementSibling;
    const isNewDay = above?.sent.toDateString() !== one.sent.toDateString();
    const day = one.querySelector(".day");
    const words = isNewDay ? dayOf(one.sent) : "";
    day.hidden = !isNewDay;
    if (day.textContent !== words) day.textContent = words;
    const goesOn = !isNewDay && above.author === one.author && one.sent - above.sent < GROUP;
    one.classList.toggle("first", !goesOn);
  }
}

// Returns the date in words: "Today", "Yesterday", or with the weekday.
function dayOf(date) {
  const midnight = (when) => new Date(when).setHours(0, 0, 0, 0);
  const days = Math.round((midnight(date) - midnight(Date.now())) / 86_400_000); // a day may have 23 hours
  if (days !== 0 && days !== -1) return DAY.format(date);
  const words = RELATIVE.format(days, "day");
  return words[0].toUpperCase() + words.slice(1);
}

// Returns the hue of a name: always the same.
export function hueOf(name) {
  return [...name].reduce((sum, character) => (sum * 31 + character.codePointAt(0)) % 360, 7);
}
