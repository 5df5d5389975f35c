// Users: registration, sign-in, and the guard of the routes that need a user.
import { checkFields, Invalid, text } from './checks.js';
import { HttpError, json } from './http.js';
import { fits, hashPassword, verifyPassword } from './passwords.js';
import { accessTokenTtl } from './settings.js';
import { createToken, readToken } from './tokens.js';

const registering = new Set(); // names whose registration has begun, in lower case

/** Return the routes of users; `users` is their table. */
export function userRoutes(users) {
  return [
    { method: 'POST', path: '/auth/register', handler: (call) => register(call, users) },
    { method: 'POST', path: '/auth/token', handler: (call) => signIn(call, users) },
    ...protect([{ method: 'GET', path: '/users/me', handler: readMe }], users),
  ];
}

/** Return the routes with a guard: a request without a valid token gets 401. */
export function protect(routes, users) {
  return routes.map((route) => ({ ...route, guard: (call) => currentUser(call, users) }));
}

/** Return the user whose token the call carries; 401 without one. */
async function currentUser(call, users) {
  const [, token] = /^Bearer ([\w.-]+)$/i.exec(call.headers.authorization ?? '') ?? [];
  const user = token && users.get(readToken(token));
  if (!user) throw unauthorized('A valid token is required');
  return user;
}

/** Return the fields of a registration, each with its check. */
function registrationFields() {
  const username = (value) => {
    const name = text({ min: 3, max: 50 })(value);
    if (!/^[A-Za-z0-9_.-]*$/.test(name)) throw new Invalid('Only A-Z, a-z, 0-9, _, . and -');
    return name;
  };
  const password = (value) => {
    text({ min: 8 })(text()(value).normalize('NFC'));
    if (!fits(value)) throw new Invalid('Must have at most 72 bytes, and no character NUL');
    return value;
  };
  return {
    username: { check: username, required: true },
    password: { check: password, required: true },
  };
}

/** Add a user; 409 if the name is taken. Upper and lower case count as the same. */
async function register(call, users) {
  const { username, password } = checkFields(await call.json(), registrationFields());
  const name = username.toLowerCase();
  if (registering.has(name) || findUser(users, username)) {
    throw new HttpError(409, 'This user name is taken');
  }
  registering.add(name); // nothing else runs between the check and this line
  try {
    const user = await users.create({ username, password_hash: await hashPassword(password) });
    return json(201, present(user), { Location: '/users/me' });
  } finally {
    registering.delete(name);
  }
}

/** Answer with a token; 401 for an unknown name and for a wrong password. */
async function signIn(call, users) {
  const aText = { check: text(), required: true };
  const fields = { username: aText, password: aText };
  const { username, password } = checkFields(await call.form(), fields, { others: true });
  const user = findUser(users, username);
  if (!(await verifyPassword(password, user?.password_hash))) {
    throw unauthorized('Wrong user name or password');
  }
  const token = { access_token: createToken(user.id), expires_in: accessTokenTtl };
  return json(200, { ...token, token_type: 'bearer' }, { 'Cache-Control': 'no-store' });
}

/** Answer with the signed-in user. */
async function readMe(call) {
  return json(200, present(call.user));
}

function findUser(users, username) {
  const name = username.toLowerCase();
  return users.list().find((user) => user.username.toLowerCase() === name);
}

const unauthorized = (why) => new HttpError(401, why, { 'WWW-Authenticate': 'Bearer' });

/** Return a user as clients see it: never with the hash. */
const present = ({ id, username, created_at }) => ({ id, username, created_at });
