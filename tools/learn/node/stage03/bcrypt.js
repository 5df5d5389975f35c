// bcrypt in plain JavaScript, since Node has none of its own. You need not read this file.
//
// `hash` and `compare` work like those of the npm package "bcrypt". The algorithm is in N. Provos
// and D. Mazières, "A Future-Adaptable Password Scheme" (1999): Blowfish with a slow key schedule.
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';

const ROUNDS_AT_ONCE = 8; // between two pauses, in which the server answers other requests
const PLAIN = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const BCRYPT = './ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const PI = wordsOfPi(18 + 4 * 256); // Blowfish starts with the fraction of pi

/** Return the hash of a password with a new salt; one more round doubles the time. */
export async function hash(password, rounds) {
  const salt = randomBytes(16);
  const start = `$2b$${String(rounds).padStart(2, '0')}$`;
  return `${start}${encode(salt)}${encode(await digest(password, salt, rounds))}`;
}

/** Whether a password has this hash. */
export async function compare(password, hashed) {
  const [, rounds, salt, expected] = /^\$2[aby]\$(\d\d)\$(.{22})(.{31})$/.exec(hashed) ?? [];
  if (expected === undefined) return false;
  const found = encode(await digest(password, decode(salt), Number(rounds)));
  return timingSafeEqual(Buffer.from(found), Buffer.from(expected));
}

async function digest(password, salt, rounds) {
  const key = wordsOf(Buffer.from(`${password}\0`).subarray(0, 72), 18);
  const saltAsKey = wordsOf(salt, 18);
  const box = PI.slice(); // 18 words of subkeys, then four tables of 256 words
  schedule(box, key, wordsOf(salt, 4));
  for (let round = 1; round <= 2 ** rounds; round += 1) {
    schedule(box, key);
    schedule(box, saltAsKey);
    if (round % ROUNDS_AT_ONCE === 0) await setImmediate();
  }
  const text = wordsOf(Buffer.from('OrpheanBeholderScryDoubt'), 6);
  for (let at = 0; at < 6; at += 2) {
    for (let time = 0; time < 64; time += 1) encrypt(box, text, at);
  }
  const bytes = Buffer.alloc(24);
  text.forEach((word, n) => bytes.writeInt32BE(word, 4 * n));
  return bytes.subarray(0, 23); // the last byte is not stored
}

/** Mix a key, and at first a salt, into the box. */
function schedule(box, key, salt = new Int32Array(4)) {
  for (let n = 0; n < 18; n += 1) box[n] ^= key[n];
  const block = new Int32Array(2);
  for (let n = 0; n < box.length; n += 2) {
    block[0] ^= salt[n & 2];
    block[1] ^= salt[(n & 2) + 1];
    encrypt(box, block, 0);
    box[n] = block[0];
    box[n + 1] = block[1];
  }
}

/** Encrypt two words of a block in their place. */
function encrypt(box, block, at) {
  let left = block[at] ^ box[0];
  let right = block[at + 1];
  for (let n = 1; n <= 16; n += 1) {
    const sum = box[18 + (left >>> 24)] + box[274 + ((left >>> 16) & 255)];
    const f = (sum ^ box[530 + ((left >>> 8) & 255)]) + box[786 + (left & 255)];
    [left, right] = [right ^ f ^ box[n], left];
  }
  block[at] = right ^ box[17];
  block[at + 1] = left;
}

/** Return words of 32 bits from bytes, which repeat. */
function wordsOf(bytes, count) {
  const word = (n) => [0, 1, 2, 3].reduce((sum, k) => (sum << 8) | bytes[(4 * n + k) % bytes.length], 0);
  return Int32Array.from({ length: count }, (_, n) => word(n));
}

/** Return the first words of the fraction of pi, by Machin's formula. */
function wordsOfPi(count) {
  const bits = BigInt(32 * count);
  const one = 1n << (bits + 64n);
  const arctanOfInverse = (x) => {
    let [sum, term] = [0n, one / x];
    for (let n = 1n; term !== 0n; n += 2n) {
      sum += term / n;
      term /= -x * x;
    }
    return sum;
  };
  const fraction = (16n * arctanOfInverse(5n) - 4n * arctanOfInverse(239n) - 3n * one) >> 64n;
  const word = (n) => BigInt.asIntN(32, fraction >> (bits - 32n * BigInt(n + 1)));
  return Int32Array.from({ length: count }, (_, n) => Number(word(n)));
}

const translate = (letters, from, to) => letters.replace(/./g, (letter) => to[from.indexOf(letter)]);
const encode = (bytes) => translate(bytes.toString('base64').replace(/=/g, ''), PLAIN, BCRYPT);
const decode = (letters) => Buffer.from(translate(letters, BCRYPT, PLAIN), 'base64');
