// Settings come from the environment, else from the file `.env`, else from here.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';

if (existsSync('.env')) process.loadEnvFile();

const { PORT = '8000', DATABASE_URL = 'file:///todos' } = process.env;
const { ACCESS_TOKEN_TTL = '1800', BCRYPT_ROUNDS = '12' } = process.env;

export const port = Number(PORT);

/** The file of the journal, beside the file that DATABASE_URL names. */
export const journalPath = `${DATABASE_URL.split(':///').at(-1)}.jsonl`;

/** The secret that signs tokens. Without a setting, no token works after a restart. */
export const jwtSecret = process.env.JWT_SECRET ?? randomBytes(32).toString('hex');

/** The seconds for which a token works. */
export const accessTokenTtl = Number(ACCESS_TOKEN_TTL);

/** The cost of a password hash: one more doubles its time. */
export const bcryptRounds = Number(BCRYPT_ROUNDS);
