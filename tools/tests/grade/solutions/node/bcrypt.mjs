// bcrypt ($2b$) in plain JavaScript: Node's standard library has none.
//
// Provos & Mazières, "A Future-Adaptable Password Scheme" (1999). The Blowfish tables are the
// fractional bits of pi, so they are computed here instead of being pasted in as 1042 numbers.
import { randomBytes, timingSafeEqual } from 'node:crypto';

const ROUNDS = 16;
const P_WORDS = ROUNDS + 2;
const S_WORDS = 4 * 256;

/** The first `count` 32-bit words of the fractional part of pi (Machin's formula). */
function piWords(count) {
  const guard = 64n;
  const bits = BigInt(32 * count);
  const one = 1n << (bits + guard);
  const arctanInverse = (x) => {
    let term = one / x;
    let sum = term;
    const square = x * x;
    for (let n = 3n, sign = -1n; term > 0n; n += 2n, sign = -sign) {
      term /= square;
      sum += (sign * term) / n;
    }
    return sum;
  };
  const pi = 4n * (4n * arctanInverse(5n) - arctanInverse(239n));
  const fraction = (pi - 3n * one) >> guard;
  const hex = fraction.toString(16).padStart(8 * count, '0');
  const words = new Int32Array(count);
  for (let i = 0; i < count; i++) words[i] = Number.parseInt(hex.slice(8 * i, 8 * i + 8), 16) | 0;
  return words;
}

let tables;
function initialTables() {
  if (!tables) {
    const words = piWords(P_WORDS + S_WORDS);
    tables = { p: words.slice(0, P_WORDS), s: words.slice(P_WORDS) };
  }
  return tables;
}

/** Encrypts the two words at `lr[at]`, `lr[at + 1]` in place. */
function encipher(lr, at, p, s) {
  let l = lr[at] ^ p[0];
  let r = lr[at + 1];
  for (let i = 1; i <= ROUNDS; i += 2) {
    r ^= (((s[l >>> 24] + s[256 | ((l >>> 16) & 255)]) ^ s[512 | ((l >>> 8) & 255)]) + s[768 | (l & 255)]) ^ p[i];
    l ^= (((s[r >>> 24] + s[256 | ((r >>> 16) & 255)]) ^ s[512 | ((r >>> 8) & 255)]) + s[768 | (r & 255)]) ^ p[i + 1];
  }
  lr[at] = r ^ p[ROUNDS + 1];
  lr[at + 1] = l;
}

/** `count` big-endian words read from `bytes`, starting over at its end. */
function cyclicWords(bytes, count) {
  const words = new Int32Array(count);
  for (let i = 0, at = 0; i < count; i++) {
    let word = 0;
    for (let k = 0; k < 4; k++) {
      word = (word << 8) | bytes[at];
      at = (at + 1) % bytes.length;
    }
    words[i] = word;
  }
  return words;
}

/** Blowfish's key schedule; `saltWords` (4 words) is null for the unsalted variant. */
function expandKey(p, s, keyWords, saltWords) {
  for (let i = 0; i < P_WORDS; i++) p[i] ^= keyWords[i];
  const lr = new Int32Array(2);
  let saltAt = 0;
  for (let i = 0; i < P_WORDS + S_WORDS; i += 2) {
    if (saltWords) {
      lr[0] ^= saltWords[saltAt];
      lr[1] ^= saltWords[saltAt + 1];
      saltAt ^= 2;
    }
    encipher(lr, 0, p, s);
    const into = i < P_WORDS ? p : s;
    const at = i < P_WORDS ? i : i - P_WORDS;
    into[at] = lr[0];
    into[at + 1] = lr[1];
  }
}

function rawHash(password, salt, cost) {
  const key = Buffer.concat([password.subarray(0, 72), Buffer.alloc(1)]).subarray(0, 72);
  const keyWords = cyclicWords(key, P_WORDS);
  const saltWords = cyclicWords(salt, 4);
  const saltAsKey = cyclicWords(salt, P_WORDS);
  const initial = initialTables();
  const p = initial.p.slice();
  const s = initial.s.slice();
  expandKey(p, s, keyWords, saltWords);
  for (let n = 2 ** cost; n > 0; n--) {
    expandKey(p, s, keyWords, null);
    expandKey(p, s, saltAsKey, null);
  }
  const text = cyclicWords(Buffer.from('OrpheanBeholderScryDoubt', 'latin1'), 6);
  for (let at = 0; at < 6; at += 2) {
    for (let n = 0; n < 64; n++) encipher(text, at, p, s);
  }
  const out = Buffer.alloc(24);
  text.forEach((word, i) => out.writeInt32BE(word, 4 * i));
  return out.subarray(0, 23); // the 24th byte is never stored
}

const STANDARD = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const BCRYPT = './ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const translate = (text, from, to) => [...text].map((c) => to[from.indexOf(c)]).join('');
const encode64 = (bytes) => translate(bytes.toString('base64').replace(/=+$/, ''), STANDARD, BCRYPT);
const decode64 = (text) => Buffer.from(translate(text, BCRYPT, STANDARD), 'base64');

const HASH = /^\$2[aby]\$(\d\d)\$([./A-Za-z0-9]{22})([./A-Za-z0-9]{31})$/;

/** The `$2b$` hash of a password (a string, taken as UTF-8). Slow on purpose: call it in a worker. */
export function hashPassword(password, cost, salt = randomBytes(16)) {
  const digest = rawHash(Buffer.from(password, 'utf8'), salt, cost);
  return `$2b$${String(cost).padStart(2, '0')}$${encode64(salt)}${encode64(digest)}`;
}

/** Whether `password` is the one that `hash` was made from. */
export function verifyPassword(password, hash) {
  const match = HASH.exec(hash);
  if (!match) return false;
  const cost = Number(match[1]);
  if (cost < 4 || cost > 31) return false;
  const digest = rawHash(Buffer.from(password, 'utf8'), decode64(match[2]).subarray(0, 16), cost);
  return timingSafeEqual(Buffer.from(encode64(digest)), Buffer.from(match[3]));
}
