// Selects and deletes pictures. A deleted picture is only hidden for some seconds, so that a person can
// undo it; then the page sends the request. If the browser crashes before, nothing is deleted.

import { freshToken, page, request, token } from "../home/sign_in.js";
import { announce } from "./uploads.js";
import { shownItems } from "./viewer.js";

const UNDO = 10_000; // milliseconds

// The list of a page that is loaded right after this one may still have the pictures deleted last.
const deletedBefore = JSON.parse(sessionStorage.getItem("deleted") ?? "[]");
sessionStorage.removeItem("deleted");

let deleted = []; // elements of the list that are hidden, and not deleted on the server yet
let timer = null;
let changed = null;

// Starts it. `listChanged` is called after pictures have disappeared or come back, perhaps with a message.
export function setUpDeletion(listChanged) {
  changed = listChanged;
  page.pictures.addEventListener("change", showSelection);
  page.deleteSelected.addEventListener("click", () => remove(selected()));
  page.unselect.addEventListener("click", unselect);
  page.undo.addEventListener("click", undo);
  document.addEventListener("keydown", (event) => {
    const isInField = event.target.matches("input:not([type=checkbox])");
    if (event.key === "z" && (event.ctrlKey || event.metaKey) && deleted.length && !isInField) undo();
    if (event.key === "Escape" && selected().length && !page.viewer.open) unselect();
  });
  window.addEventListener("pagehide", deleteNow);
}

// Hides these elements of the list, and deletes their pictures when the time to undo is over.
export function remove(items) {
  finish();
  const [last] = items.slice(-1);
  const shown = shownItems();
  const rest = shown.slice(shown.indexOf(last)).concat(shown.reverse()).find((item) => !items.includes(item));
  for (const item of items) {
    item.hidden = true;
    item.querySelector("input").checked = false;
  }
  deleted = items;
  showSelection();
  page.undoText.textContent = `${namesOf(items)}: deleted`;
  page.undoBar.hidden = false;
  timer = setTimeout(finish, UNDO);
  freshToken().catch(() => {}); // `deleteNow` has no time to get one
  announce(`${page.undoText.textContent}. Control Z undoes it.`);
  (rest?.querySelector("a") ?? page.heading).focus();
  changed();
}

function undo() {
  const items = takeDeleted();
  for (const item of items) item.hidden = false;
  announce(`${namesOf(items)}: restored`);
  items[0].querySelector("a").focus();
  changed();
}

// Deletes on the server. A picture that cannot be deleted now comes back.
async function finish() {
  for (const item of takeDeleted()) {
    let problem;
    try {
      await request("DELETE", `images/${item.id}`);
    } catch (error) {
      if (error.status !== 404) problem = error; // 404: another client has deleted it already
    }
    if (problem) item.hidden = false;
    else item.remove();
    changed(problem && `${namesOf([item])} was not deleted. ${problem.message}`);
  }
}

// Deletes on the server, even if this page is about to end. After the end of a session it deletes nothing.
export function deleteNow() {
  const items = takeDeleted();
  if (items.length) sessionStorage.setItem("deleted", JSON.stringify(items.map(({ id }) => id)));
  for (const item of items) {
    const headers = { Authorization: `Bearer ${token}` };
    if (token) fetch(`images/${item.id}`, { method: "DELETE", headers, keepalive: true }).catch(() => {});
    item.remove();
  }
}

// Returns whether the page before this one has deleted an image.
export function wasDeleted(image) {
  return deletedBefore.includes(image.id);
}

function takeDeleted() {
  const items = deleted;
  deleted = [];
  clearTimeout(timer);
  page.undoBar.hidden = true;
  return items;
}

function selected() {
  return shownItems().filter((item) => item.querySelector("input").checked);
}

function unselect() {
  for (const item of selected()) item.querySelector("input").checked = false;
  showSelection();
  page.heading.focus();
}

function showSelection() {
  page.selection.hidden = selected().length === 0;
  page.selectedCount.textContent = `${selected().length} selected`;
}

function namesOf(items) {
  return items.length === 1 ? items[0].querySelector("img").alt : `${items.length} pictures`;
}
