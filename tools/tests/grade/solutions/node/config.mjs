// Settings: the environment first, then `.env` in the working directory, then a default that works.
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

export class BadSetting extends Error {}

function readDotEnv() {
  const values = {};
  let text = '';
  try {
    text = readFileSync('.env', 'utf8');
  } catch {
    return values;
  }
  for (const line of text.split(/\r?\n/)) {
    const match = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|(.*?))\s*(?:\s#.*)?$/.exec(line);
    if (match) values[match[1]] = match[2]?.replace(/\\n/g, '\n').replace(/\\(["\\])/g, '$1') ?? match[3] ?? match[4];
  }
  return values;
}

export function readSettings() {
  const environment = { ...readDotEnv(), ...process.env };
  const text = (name, fallback) => environment[name] || fallback; // set to nothing is not set
  const integer = (name, fallback, min, max) => {
    const value = text(name);
    if (value === undefined) return fallback;
    if (!/^\d{1,15}$/.test(value) || Number(value) < min || Number(value) > max) {
      throw new BadSetting(`${name} must be a whole number from ${min} to ${max}`);
    }
    return Number(value);
  };
  const url = (name, fallback) => {
    const value = text(name, fallback);
    if (!URL.canParse(value) || !/^https?:$/.test(new URL(value).protocol)) throw new BadSetting(`${name} must be an http(s) address`);
    return value;
  };

  const { values: options } = parseArgs({ options: { port: { type: 'string' } } });
  if (options.port) environment.PORT = options.port;
  const dataDir = resolve(text('DATA_DIR', '.'));
  const stage = integer('STAGE', 8, 1, 8);
  return {
    stage,
    port: integer('PORT', 8000, 0, 65535),
    journal: journalPath(text('DATABASE_URL'), dataDir),
    accessTokenTtl: integer('ACCESS_TOKEN_TTL', 1800, 1, 1e9),
    bcryptRounds: integer('BCRYPT_ROUNDS', 12, 4, 31),
    jwtSecret: stage < 3 ? '' : text('JWT_SECRET') ?? keptSecret(join(dataDir, 'jwt-secret')),
    mediaDir: resolve(text('MEDIA_DIR', join(dataDir, 'media'))),
    jobRetention: integer('JOB_RETENTION', 7 * 24 * 3600, 1, 1e12),
    firstAdmin: { username: text('FIRST_ADMIN_USERNAME'), password: text('FIRST_ADMIN_PASSWORD') },
    chatOrigins: list(text('CHAT_ALLOWED_ORIGINS', '')),
    weather: {
      apiKey: text('OPENWEATHERMAP_API_KEY'),
      openWeatherMap: url('OPENWEATHERMAP_BASE_URL', 'https://api.openweathermap.org'),
      openMeteo: url('OPEN_METEO_BASE_URL', 'https://api.open-meteo.com'),
      openMeteoGeocoding: url('OPEN_METEO_GEOCODING_BASE_URL', 'https://geocoding-api.open-meteo.com'),
      ttl: integer('WEATHER_CACHE_TTL', 600, 0, 1e9),
    },
  };
}

/** `sqlite+aiosqlite:///./todo.db` names a file: our journal goes beside it. Anything else is not for us. */
function journalPath(databaseUrl, dataDir) {
  const match = /^(?:sqlite(?:\+\w+)?:\/\/\/|file:(?:\/\/)?)([^?:]+)(?:\?.*)?$/.exec(databaseUrl ?? '');
  return match ? resolve(`${match[1]}.journal`) : join(dataDir, 'data.journal');
}

/** Without JWT_SECRET a secret is made once and kept, so that tokens survive a restart. */
function keptSecret(path) {
  try {
    const secret = readFileSync(path, 'utf8').trim();
    if (secret) return secret;
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  mkdirSync(dirname(path), { recursive: true });
  const secret = randomBytes(32).toString('hex');
  writeFileSync(path, `${secret}\n`, { mode: 0o600 });
  return secret;
}

/** `a,b` or `["a", "b"]`. */
function list(text) {
  let items = text.split(/[,\s]+/);
  if (text.trim().startsWith('[')) {
    try {
      items = JSON.parse(text).map(String);
    } catch {
      throw new BadSetting('CHAT_ALLOWED_ORIGINS must be a list, separated by commas');
    }
  }
  return items.filter(Boolean);
}
