// The script of the page of the todos. It contains no HTML: elements come from the page's templates.
// Texts of users go into textContent or a field, where they stay text.

import { call, newName, page, request, start } from "../home/sign_in.js";

const PAGE = 100; // todos in one request: the server's maximum
const PATIENCE = 15_000; // milliseconds for an answer

const shown = new Map(); // id → { todo, row }
let read = 0; // how many of the server's todos the page has read

function enter() {
  page.todos.hidden = false;
  loadMore();
}

function exit() {
  page.dialog.close();
  page.todos.hidden = true;
  page.list.replaceChildren();
  shown.clear();
  read = 0;
}

function forget() {
  page.adding.reset();
  page.problem.textContent = "";
  page.announcer.replaceChildren();
}

// ---- The list

page.more.addEventListener("click", loadMore);

async function loadMore() {
  if (page.list.ariaBusy === "true") return;
  page.list.ariaBusy = "true";
  describe("Loading");
  try {
    const todos = await request("GET", `todos?limit=${PAGE}&offset=${read}`);
    read += todos.length;
    page.more.hidden = todos.length < PAGE;
    todos.forEach(show);
    describe();
  } catch (error) {
    page.more.hidden = false;
    describe(error.message);
  }
  page.list.ariaBusy = "false";
}

// Shows a message about the list. By default it says whether the list is empty.
function describe(words = shown.size ? "" : "No todos yet.") {
  page.status.textContent = words;
}

// Shows a todo, in its row or in a new one, in the order of the ids.
function show(todo) {
  const one = shown.get(todo.id) ?? addRow(todo);
  one.todo = todo;
  const { row } = one;
  row.classList.toggle("completed", todo.completed);
  row.querySelector(".tick").checked = todo.completed;
  row.querySelector(".title").textContent = todo.title;
  row.querySelector(".description").textContent = todo.description ?? "";
  row.querySelector(".shown .message").textContent = "";
  row.querySelector(".edit").ariaLabel = `Edit ${todo.title}`;
  row.querySelector(".delete").ariaLabel = `Delete ${todo.title}`;
}

function addRow(todo) {
  const one = { todo, row: fromTemplate(page.todoTemplate) };
  one.row.querySelector(".tick").addEventListener("change", () => tick(one));
  one.row.querySelector(".edit").addEventListener("click", () => edit(one));
  one.row.querySelector(".delete").addEventListener("click", () => askToDelete(one));
  const next = [...shown.values()].find((other) => other.todo.id > todo.id);
  page.list.insertBefore(one.row, next?.row ?? null);
  shown.set(todo.id, one);
  return one;
}

function remove(one) {
  const neighbour = one.row.nextElementSibling ?? one.row.previousElementSibling;
  one.row.remove();
  shown.delete(one.todo.id);
  read -= 1;
  (neighbour?.querySelector(".tick") ?? page.title).focus();
  describe();
}

// ---- Adding

// The name of this todo-to-be. If the answer is lost and the user adds it again, the server finds the
// name and answers with the todo that it already has.
let key = newName();
page.title.addEventListener("input", () => (key = newName()));

page.adding.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (page.adding.ariaBusy === "true") return; // a second click
  page.adding.ariaBusy = "true";
  page.problem.textContent = "";
  try {
    const title = page.title.value;
    const headers = { "Idempotency-Key": key };
    const todo = await request("POST", "todos", asJson({ title }), headers);
    if (page.title.value === title) page.adding.reset(); // else the user has written on
    key = newName();
    show(todo);
    describe();
    announce(`${todo.title}: added`);
    shown.get(todo.id).row.scrollIntoView({ block: "nearest" });
  } catch (error) {
    page.problem.textContent = error.message;
  }
  page.title.focus();
  page.adding.ariaBusy = "false";
});

// ---- Changing

async function tick(one) {
  const box = one.row.querySelector(".tick");
  const completed = box.checked;
  try {
    show(await request("PATCH", `todos/${one.todo.id}`, asJson({ completed })));
  } catch (error) {
    box.checked = one.todo.completed;
    one.row.querySelector(".shown .message").textContent = error.message;
  }
}

// Opens the editor with the newest version of the todo. Saving names this version in `If-Match`: the
// server refuses to overwrite a later change by another page.
async function edit(one) {
  const message = one.row.querySelector(".shown .message");
  message.textContent = "";
  try {
    await readAgain(one);
  } catch (error) {
    message.textContent = error.message;
    return;
  }
  const editor = fromTemplate(page.editorTemplate);
  const { title, description } = editor.elements;
  title.value = one.todo.title;
  description.value = one.todo.description ?? "";
  one.read = one.todo; // as the user sees it
  const close = () => {
    editor.remove();
    one.row.querySelector(".shown").hidden = false;
    one.row.querySelector(".edit").focus();
  };
  editor.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (editor.ariaBusy === "true") return; // a second click
    editor.ariaBusy = "true";
    if (await save(one, editor)) close();
    editor.ariaBusy = "false";
  });
  editor.querySelector(".stop").addEventListener("click", close);
  editor.addEventListener("keydown", (event) => event.key === "Escape" && close());
  one.row.querySelector(".shown").hidden = true;
  one.row.append(editor);
  title.focus();
}

// Saves what the editor has and returns whether it is stored.
async function save(one, editor) {
  const message = editor.querySelector(".message");
  message.textContent = "";
  const fields = new FormData(editor);
  const wanted = { title: fields.get("title").trim(), description: fields.get("description") || null };
  for (;;) {
    try {
      show(await request("PATCH", `todos/${one.todo.id}`, asJson(wanted), { "If-Match": one.version }));
      return true;
    } catch (error) {
      message.textContent = error.message;
      if (error.status !== 412) return false;
    }
    try {
      await readAgain(one);
    } catch (error) {
      message.textContent = error.message;
      return false;
    }
    if (isSame(one.todo, wanted)) return true; // stored before: the answer was lost
    if (isSame(one.todo, one.read)) continue; // only ticked meanwhile
    one.read = one.todo;
    const theirs = [one.todo.title, one.todo.description].filter(Boolean).map((text) => `“${text}”`);
    message.textContent = `Changed elsewhere to ${theirs.join(", ")}. Save again to replace it, or cancel to keep it.`;
    return false;
  }
}

function isSame(one, other) {
  return one.title === other.title && one.description === other.description;
}

async function readAgain(one) {
  const response = await call("GET", `todos/${one.todo.id}`);
  one.version = response.headers.get("ETag");
  show(await response.json());
}

// ---- Deleting

function askToDelete(one) {
  page.doomed.textContent = one.todo.title;
  page.refusal.textContent = "";
  page.confirm.onclick = async () => {
    try {
      await request("DELETE", `todos/${one.todo.id}`);
    } catch (error) {
      page.refusal.textContent = error.message;
      if (error.status !== 404) return; // 404: another page has deleted it already
    }
    if (!one.row.isConnected) return; // a second click
    page.dialog.close();
    remove(one);
    announce(`${one.todo.title}: deleted`);
  };
  page.dialog.showModal();
}

// ---- Words and elements

function asJson(value) {
  return new Blob([JSON.stringify(value)], { type: "application/json" });
}

function announce(words) {
  const line = document.createElement("p");
  line.textContent = words;
  page.announcer.append(line);
}

function fromTemplate(template) {
  return template.content.firstElementChild.cloneNode(true);
}

start({ enter, exit, forget, focus: page.title, patience: PATIENCE });
