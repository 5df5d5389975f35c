// Checks of what clients send. A check takes a value and returns the clean one, or throws `Bad`.
import { HttpError } from './http.mjs';

class Bad extends Error {
  constructor(type, message) {
    super(message);
    this.type = type;
  }
}
const bad = (type, message) => {
  throw new Bad(type, message);
};

/** 422 in FastAPI's form. What was sent is never part of it. */
export const invalid = (loc, msg, type = 'value_error') => new HttpError(422, [{ type, loc, msg }]);

/** Characters are code points here, as in most languages' idea of a length. */
export function lengthOf(text) {
  let length = 0;
  for (const _ of text) length++;
  return length;
}

/** Without Unicode white space at both ends. (Not a regular expression: `\s+$` can be quadratic.) */
export function trimmed(text) {
  const isSpace = (c) => /[\p{White_Space}\uFEFF]/u.test(c);
  let start = 0;
  let end = text.length;
  while (start < end && isSpace(text[start])) start++;
  while (end > start && isSpace(text[end - 1])) end--;
  return text.slice(start, end);
}

export const string =
  ({ min = 0, max = Infinity, trim = false, blank = true, pattern, what } = {}) =>
  (value) => {
    if (typeof value !== 'string') bad('string_type', 'Must be a string');
    if (!value.isWellFormed()) bad('string_unicode', 'Must be well-formed Unicode');
    const text = trim ? trimmed(value) : value;
    const length = lengthOf(text);
    if (length < min) bad('string_too_short', `Must have at least ${min} character${min === 1 ? '' : 's'}`);
    if (length > max) bad('string_too_long', `Must have at most ${max} characters`);
    if (!blank && trimmed(text) === '') bad('string_too_short', 'Must not be blank');
    if (pattern && !pattern.test(text)) bad('string_pattern_mismatch', what);
    return text;
  };

export const boolean = () => (value) => (typeof value === 'boolean' ? value : bad('bool_type', 'Must be true or false'));
export const nullable = (check) => (value) => (value === null ? null : check(value));
export const oneOf = (...values) => (value) => (values.includes(value) ? value : bad('enum', `Must be one of: ${values.join(', ')}`));

/** 8 characters to 72 bytes, normalised. (NUL would end the password for other bcrypts.) */
export const newPassword = () => (value) => {
  const password = string()(value).normalize('NFC');
  if (lengthOf(password) < 8) bad('string_too_short', 'Must have at least 8 characters');
  if (Buffer.byteLength(password, 'utf8') > 72) bad('string_too_long', 'Must have at most 72 bytes in UTF-8');
  if (password.includes('\0')) bad('value_error', 'Must not contain the character NUL');
  return password;
};

/** A date and time with an offset → Date. Only a string will do. */
export const moment = () => (value) => {
  if (typeof value !== 'string') bad('datetime_type', 'Must be a string: a date and time with an offset');
  const match = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(Z|z|[+-]\d\d(?::?\d\d)?)?$/.exec(value);
  if (!match) bad('datetime_parsing', 'Must be a date and time like 2030-01-31T12:00:00+00:00');
  const [year, month, day, hour, minute, second = 0] = match.slice(1, 7).map((digits) => (digits === undefined ? undefined : Number(digits)));
  const zone = match[8];
  if (!zone) bad('timezone_aware', 'Must have an offset from UTC, like Z or +03:00');
  const local = new Date(0);
  local.setUTCFullYear(year, month - 1, day);
  const real = local.getUTCFullYear() === year && local.getUTCMonth() === month - 1 && local.getUTCDate() === day;
  if (!real || hour > 23 || minute > 59 || second > 59) bad('datetime_parsing', 'There is no such date or time');
  const [offsetHours, offsetMinutes] = /^z$/i.test(zone) ? [0, 0] : [Number(zone.slice(1, 3)), Number(zone.slice(3).replace(':', '') || 0)];
  if (offsetHours > 23 || offsetMinutes > 59) bad('datetime_parsing', 'There is no such offset');
  const offset = (zone[0] === '-' ? -1 : 1) * (60 * offsetHours + offsetMinutes);
  local.setUTCHours(hour, minute - offset, second, Math.floor(Number(`0.${match[7] ?? 0}`) * 1000));
  if (local.getUTCFullYear() < 1 || local.getUTCFullYear() > 9999) bad('datetime_parsing', 'There is no such date or time');
  return local;
};

/**
 * Checks an object against `fields`: name → {check, required?, fallback?}. Fields that are not named are
 * refused. With `partial` only the fields that are there come back.
 */
export function fieldsOf(object, fields, { partial = false } = {}) {
  if (object === null || typeof object !== 'object' || Array.isArray(object)) throw invalid(['body'], 'Must be a JSON object', 'model_attributes_type');
  const problems = [];
  const clean = {};
  for (const [name, { check, required = false, fallback }] of Object.entries(fields)) {
    if (Object.hasOwn(object, name)) {
      try {
        clean[name] = check(object[name]);
      } catch (error) {
        if (!(error instanceof Bad)) throw error;
        problems.push({ type: error.type, loc: ['body', name], msg: error.message });
      }
    } else if (!partial) {
      if (required) problems.push({ type: 'missing', loc: ['body', name], msg: 'Field required' });
      else clean[name] = fallback;
    }
  }
  for (const name of Object.keys(object)) {
    if (Object.hasOwn(fields, name)) continue;
    problems.push({ type: 'extra_forbidden', loc: ['body', name.isWellFormed() && name.length <= 100 ? name : '…'], msg: 'There is no such field' });
    if (problems.length > 20) break;
  }
  if (problems.length > 0) throw new HttpError(422, problems);
  return clean;
}

/** One value of the query string or the path, checked. */
export function checked(loc, value, check) {
  try {
    return check(value);
  } catch (error) {
    throw error instanceof Bad ? invalid(loc, error.message, error.type) : error;
  }
}

/** The body must be checked like this in a WebSocket, where there is no status code: → message or null. */
export function problemOf(check, value) {
  try {
    check(value);
    return null;
  } catch (error) {
    if (!(error instanceof Bad)) throw error;
    return error.message;
  }
}

export const integer =
  ({ min = -Infinity, max = Infinity } = {}) =>
  (value) => {
    if (!/^[+-]?\d{1,30}$/.test(value)) bad('int_parsing', 'Must be a whole number');
    const number = Number(value);
    if (number < min) bad('greater_than_equal', `Must be at least ${min}`);
    if (number > max) bad('less_than_equal', `Must be at most ${max}`);
    return number;
  };

export const booleanWord = () => (value) => {
  if (/^(true|1|yes|on|t|y)$/i.test(value)) return true;
  if (/^(false|0|no|off|f|n)$/i.test(value)) return false;
  return bad('bool_parsing', 'Must be true or false');
};
