// The todos of the API. Each handler reads its input, makes one call to the table, and answers.
import { HttpError, json, noContent } from './http.js';
import { changesOfTodo, idOf, pageOf, wholeTodo } from './schemas.js';

/** Return the routes; `todosOf` returns the table for a call. */
export function todoRoutes(todosOf) {
  const route = (method, path, handler) => {
    return { method, path, handler: (call) => handler(call, todosOf(call)) };
  };
  return [
    route('GET', '/todos', listTodos),
    route('POST', '/todos', createTodo),
    route('GET', '/todos/{id}', readTodo),
    route('PUT', '/todos/{id}', replaceTodo),
    route('PATCH', '/todos/{id}', updateTodo),
    route('DELETE', '/todos/{id}', deleteTodo),
  ];
}

/** Answer with a page of the todos, sorted by id. */
async function listTodos(call, todos) {
  const { completed, limit, offset } = pageOf(call.query);
  const wanted = todos.list().filter((todo) => [undefined, todo.completed].includes(completed));
  return json(200, wanted.slice(offset, offset + limit).map(present));
}

/** Add a todo; `Location` tells its path. */
async function createTodo(call, todos) {
  const todo = await todos.create(wholeTodo(await call.json()));
  return json(201, present(todo), { Location: `/todos/${todo.id}` });
}

/** Answer with one todo. */
async function readTodo(call, todos) {
  return json(200, present(known(todos.get(idOf(call)))));
}

/** Replace every field; a field that is not sent gets its default. */
async function replaceTodo(call, todos) {
  const { id } = known(todos.get(idOf(call)));
  const todo = await todos.update(id, wholeTodo(await call.json()));
  return json(200, present(known(todo)));
}

/** Change only the fields that are sent. */
async function updateTodo(call, todos) {
  const { id } = known(todos.get(idOf(call)));
  const changes = changesOfTodo(await call.json());
  const isEmpty = Object.keys(changes).length === 0;
  const todo = isEmpty ? todos.get(id) : await todos.update(id, changes);
  return json(200, present(known(todo)));
}

/** Remove a todo; only one of several deletes at the same time gets 204. */
async function deleteTodo(call, todos) {
  if (!(await todos.delete(idOf(call)))) throw unknown();
  return noContent();
}

const unknown = () => new HttpError(404, 'There is no such todo');

/** Return a todo that was found; 404 for undefined. */
function known(todo) {
  if (todo === undefined) throw unknown();
  return todo;
}

/** Return a todo as clients see it. */
function present({ id, title, description, completed, created_at, updated_at }) {
  return { id, title, description, completed, created_at, updated_at };
}
