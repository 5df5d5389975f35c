// Stage 3: users, passwords, tokens.
import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import { created, HttpError, json, unauthorized } from './http.mjs';
import { PoolFull } from './pool.mjs';
import { fieldsOf, newPassword, problemOf, string } from './validation.mjs';
import { now, time } from './common.mjs';

const username = () => string({ min: 3, max: 50, pattern: /^[A-Za-z0-9_.-]+$/, what: 'Only A-Z, a-z, 0-9, _, . and - are allowed' });
const FIELDS = {
  username: { check: username(), required: true },
  password: { check: newPassword(), required: true },
};
const HEADER = Buffer.from('{"alg":"HS256","typ":"JWT"}').toString('base64url');

export function users(app, { store, settings, passwords }) {
  const { users: table } = store.tables;
  const byName = table.groupBy((user) => user.username.toLowerCase());
  const withRole = settings.stage >= 7;
  const byUsername = (name) => byName.get(name.toLowerCase()).values().next().value;
  const wire = ({ id, username: name, created_at, role }) => ({ id, username: name, created_at: time(created_at), ...(withRole ? { role } : {}) });

  const inPool = async (name, argument) => {
    try {
      return await passwords.run(name, argument);
    } catch (error) {
      if (error instanceof PoolFull) throw new HttpError(503, 'Too many sign-ins at once; try again', { 'Retry-After': '5' });
      throw error;
    }
  };
  const hash = (password) => inPool('hash', { password, cost: settings.bcryptRounds });
  // As much work for a user who does not exist as for one who does: the time tells nothing.
  const nobodysHash = `$2b$${String(settings.bcryptRounds).padStart(2, '0')}$${'.'.repeat(53)}`;
  const signIn = async (name, password) => {
    const user = byUsername(name);
    const normal = password.normalize('NFC');
    const possible = Buffer.byteLength(normal, 'utf8') <= 72 && !normal.includes('\0');
    const right = await inPool('verify', { password: possible ? normal : '', hash: user?.password_hash ?? nobodysHash });
    return right && possible ? (user ?? null) : null;
  };
  const add = async (name, password, role) => {
    const taken = () => new HttpError(409, 'This user name is taken');
    if (byUsername(name)) throw taken();
    const password_hash = await hash(password);
    if (byUsername(name)) throw taken(); // somebody was faster
    return store.put('users', { id: store.nextId('users'), username: name, password_hash, role, created_at: now() });
  };

  // ---------------------------------------------------------------- tokens

  const sign = (text) => createHmac('sha256', settings.jwtSecret).update(text).digest('base64url');

  const issue = (user) => {
    const iat = Math.floor(Date.now() / 1000);
    const claims = { sub: String(user.id), iat, exp: iat + settings.accessTokenTtl, jti: randomUUID() };
    const text = `${HEADER}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
    return `${text}.${sign(text)}`;
  };

  /** → {user, expires (milliseconds)} or null. */
  const verify = (token) => {
    const parts = typeof token === 'string' ? token.split('.') : [];
    if (parts.length !== 3) return null;
    // The signature is compared as text: every other spelling of the same bytes is another token.
    const expected = Buffer.from(sign(`${parts[0]}.${parts[1]}`));
    const given = Buffer.from(parts[2]);
    if (expected.length !== given.length || !timingSafeEqual(expected, given)) return null;
    let header;
    let claims;
    try {
      header = JSON.parse(Buffer.from(parts[0], 'base64url').toString('utf8'));
      claims = JSON.parse(Buffer.from(parts[1], 'base64url').toString('utf8'));
    } catch {
      return null;
    }
    if (header?.alg !== 'HS256' || (header.typ ?? 'JWT') !== 'JWT' || header.crit !== undefined) return null;
    const { sub, iat, exp, jti } = claims ?? {};
    if (typeof sub !== 'string' || !/^[1-9]\d{0,15}$/.test(sub) || !Number.isFinite(iat) || !Number.isFinite(exp) || typeof jti !== 'string') return null;
    if (Date.now() >= exp * 1000) return null;
    const user = table.get(Number(sub));
    return user ? { user, expires: exp * 1000 } : null;
  };

  app.authenticate = (request) => {
    const match = /^Bearer +([\w.-]+)$/i.exec(request.headers.authorization ?? '');
    return match ? (verify(match[1])?.user ?? null) : null;
  };

  // ---------------------------------------------------------------- routes

  app.route('POST', '/auth/register', 'open', async (context) => {
    const fields = fieldsOf(await context.json(), FIELDS);
    const user = await add(fields.username, fields.password, 'user');
    return created(wire(user), '/users/me');
  });

  app.route('POST', '/auth/token', 'open', async (context) => {
    const form = await context.form();
    const sent = Object.fromEntries(['grant_type', 'username', 'password'].filter((name) => form.has(name)).map((name) => [name, form.get(name)]));
    fieldsOf(sent, {
      grant_type: { check: string({ pattern: /^password$/, what: 'Must be "password"' }) },
      username: { check: string(), required: true },
      password: { check: string(), required: true },
    });
    const user = await signIn(sent.username, sent.password);
    if (!user) throw unauthorized('Wrong user name or password');
    return json({ access_token: issue(user), token_type: 'bearer', expires_in: settings.accessTokenTtl }, 200, { 'Cache-Control': 'no-store' });
  });

  app.route('GET', '/users/me', 'user', (context) => json(wire(context.user)));

  // ---------------------------------------------------------------- for the other modules

  /** At start: somebody must be able to make the first author. Only while there is no admin at all. */
  const ensureFirstAdmin = async () => {
    const { username: name, password } = settings.firstAdmin;
    if (!name || !password || [...table.rows.values()].some(({ role }) => role === 'admin')) return;
    const problem = problemOf(username(), name) ?? problemOf(newPassword(), password);
    if (problem) throw new Error(`FIRST_ADMIN_USERNAME or FIRST_ADMIN_PASSWORD will not do: ${problem}`);
    const existing = byUsername(name);
    if (!existing) await add(name, password.normalize('NFC'), 'admin');
    // Whoever registered that name first is only made admin if it is who knows the password.
    else if (await signIn(name, password)) store.put('users', { ...existing, role: 'admin' });
    else throw new Error('FIRST_ADMIN_USERNAME is taken by a user with another password');
    await store.durable();
  };

  return { wire, verify, byUsername, ensureFirstAdmin };
}
