// Settings come from the environment, else from the file `.env`, else from here.
import { existsSync } from 'node:fs';

if (existsSync('.env')) process.loadEnvFile();

const { PORT = '8000', DATABASE_URL = 'file:///todos' } = process.env;

export const port = Number(PORT);

/** The file of the journal, beside the file that DATABASE_URL names. */
export const journalPath = `${DATABASE_URL.split(':///').at(-1)}.jsonl`;
