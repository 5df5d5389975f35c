// The input of the todos: its fields, their limits, their defaults.
import { boolean, booleanWord, checkFields, orNull, text, wholeNumber } from './checks.js';

/** Return the fields of a todo that a client may send, each with its check. */
function todoFields() {
  return {
    title: { check: text({ min: 1, max: 200, trim: true }), required: true },
    description: { check: orNull(text({ max: 2000 })), default: null },
    completed: { check: boolean, default: false },
  };
}

/** Return the fields of the query of a list. */
function pageFields() {
  return {
    completed: { check: booleanWord },
    limit: { check: wholeNumber({ min: 1, max: 100 }), default: 100 },
    offset: { check: wholeNumber(), default: 0 },
  };
}

/** Return a whole todo: a field that is not sent gets its default. */
export const wholeTodo = (body) => checkFields(body, todoFields());

/** Return only the fields that are sent. */
export const changesOfTodo = (body) => checkFields(body, todoFields(), { partial: true });

/** Return `{ completed, limit, offset }`; `completed` is undefined if nobody asks for it. */
export const pageOf = (query) => checkFields(query, pageFields(), { others: true, place: 'query' });

/** Return the id of a path; 422 if it is not a whole number. */
export function idOf({ params }) {
  return checkFields(params, { id: { check: wholeNumber(), required: true } }, { place: 'path' }).id;
}
