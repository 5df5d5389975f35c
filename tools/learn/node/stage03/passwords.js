// Password hashes. The same password always counts the same, however a keyboard spells its accents.
import * as bcrypt from './bcrypt.js';
import { bcryptRounds } from './settings.js';

const MOST_BYTES = 72; // bcrypt reads no more

/** Whether bcrypt reads all of a password. */
export function fits(password) {
  return Buffer.byteLength(password.normalize('NFC')) <= MOST_BYTES && !password.includes('\0');
}

/** Return the hash of a new password. */
export async function hashPassword(password) {
  return bcrypt.hash(password.normalize('NFC'), bcryptRounds);
}

/** Whether a password has this hash. Without a hash it takes the same time, and is false. */
export async function verifyPassword(password, hash) {
  const nobodys = `$2b$${String(bcryptRounds).padStart(2, '0')}$${'.'.repeat(53)}`;
  const matches = await bcrypt.compare(password.normalize('NFC'), hash ?? nobodys);
  return matches && hash !== undefined && fits(password);
}
