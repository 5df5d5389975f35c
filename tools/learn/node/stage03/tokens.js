// Access tokens: a JWT (RFC 7519) that HMAC with SHA-256 signs ("HS256").
import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import { accessTokenTtl, jwtSecret } from './settings.js';

/** Return a token for a user: header, claims and signature, with dots between them. */
export function createToken(userId) {
  const now = Math.floor(Date.now() / 1000); // JWT counts seconds
  const header = encode({ alg: 'HS256', typ: 'JWT' });
  const claims = encode({
    sub: String(userId),
    iat: now,
    exp: now + accessTokenTtl,
    jti: randomUUID(),
  });
  return `${header}.${claims}.${signatureOf(`${header}.${claims}`)}`;
}

/** Return the user id of a token, or undefined if the token is not valid. */
export function readToken(token) {
  const [header, claims, signature, ...rest] = token.split('.');
  if (signature === undefined || rest.length > 0) return undefined;
  // Compare the signatures as text: base64url has several spellings of the same bytes.
  if (!areEqual(signature, signatureOf(`${header}.${claims}`))) return undefined;
  const { alg, crit } = decode(header);
  const { sub, iat, exp, jti, aud } = decode(claims);
  if (alg !== 'HS256' || crit !== undefined) return undefined;
  if (!Number.isFinite(iat) || !Number.isFinite(exp) || typeof jti !== 'string') return undefined;
  if (exp <= Date.now() / 1000 || aud !== undefined) return undefined;
  return typeof sub === 'string' && String(Number(sub)) === sub ? Number(sub) : undefined;
}

/** Return the signature of a text; only the owner of the secret can make it. */
function signatureOf(text) {
  return createHmac('sha256', jwtSecret).update(text).digest('base64url');
}

/** Compare two texts in a time that does not tell where they differ. */
function areEqual(one, other) {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

const encode = (object) => Buffer.from(JSON.stringify(object)).toString('base64url');

/** Return the object of a part of a token; an empty one if there is none. */
function decode(part) {
  try {
    return Object(JSON.parse(Buffer.from(part, 'base64url').toString()));
  } catch {
    return {};
  }
}
