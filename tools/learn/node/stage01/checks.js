// Checks of input. A check takes a value and returns the clean value, or throws `Invalid`.
import { HttpError } from './http.js';

/** A value that is refused; the message says which values are allowed. */
export class Invalid extends Error {}

/** A string of `min` to `max` characters; with `trim`, without white space around it. */
export const text = ({ min = 0, max = Infinity, trim = false } = {}) => (value) => {
  if (typeof value !== 'string' || !value.isWellFormed()) throw new Invalid('Must be a text');
  const clean = trim ? value.trim() : value;
  const length = [...clean].length; // characters, not UTF-16 units: 🥛 is one
  if (length < min) throw new Invalid(`Must have at least ${min} characters`);
  if (length > max) throw new Invalid(`Must have at most ${max} characters`);
  return clean;
};

export const boolean = (value) => {
  if (typeof value !== 'boolean') throw new Invalid('Must be true or false');
  return value;
};

export const orNull = (check) => (value) => (value === null ? null : check(value));

/** A whole number in a URL. */
export const wholeNumber = ({ min = 0, max = Number.MAX_SAFE_INTEGER } = {}) => (value) => {
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < min || number > max) {
    throw new Invalid(`Must be a whole number from ${min} to ${max}`);
  }
  return number;
};

/** `true` or `false` in a URL. */
export const booleanWord = (value) => {
  if (value !== 'true' && value !== 'false') throw new Invalid('Must be true or false');
  return value === 'true';
};

/**
 * Return the clean fields of an object; 422 names every wrong field.
 *
 * `fields` holds each field's check, and its default or `required: true`. With `partial`, a field
 * that is not given stays away. Other fields are refused, unless `others` are allowed.
 */
export function checkFields(given, fields, { partial = false, others = false, place = 'body' } = {}) {
  const problem = (type, msg, ...name) => ({ type, loc: [place, ...name], msg });
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new HttpError(422, [problem('object', 'Must be an object')]);
  }
  const clean = {};
  const problems = [];
  for (const [name, { check, required = false, ...rest }] of Object.entries(fields)) {
    if (Object.hasOwn(given, name)) {
      try {
        clean[name] = check(given[name]);
      } catch (error) {
        if (!(error instanceof Invalid)) throw error;
        problems.push(problem('invalid', error.message, name));
      }
    } else if (required && !partial) {
      problems.push(problem('missing', 'Field required', name));
    } else if (!partial) {
      clean[name] = rest.default;
    }
  }
  const unknown = others ? [] : Object.keys(given).filter((name) => !Object.hasOwn(fields, name));
  for (const name of unknown.slice(0, 10)) {
    problems.push(problem('unknown', 'There is no such field', name.slice(0, 100)));
  }
  if (problems.length > 0) throw new HttpError(422, problems);
  return clean;
}
