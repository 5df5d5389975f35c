// Weather by city: two providers, a cache, one upstream call for many askers.
import http from 'node:http';
import https from 'node:https';

const TIMEOUT = 5_000; // for the whole question, both calls of Open-Meteo together
const MAX_ANSWER = 1024 * 1024;
const MAX_CITIES = 1000;
const KEEP_STALE = 24 * 3600_000;
const REMEMBER_UNKNOWN = 60_000;
const DEFAULT_RETRY = 30; // seconds, when the provider limits us and does not say for how long

export class WeatherError extends Error {
  constructor(status, detail, retryAfter) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}
const unknownCity = () => new WeatherError(404, 'There is no such city');
const nonsense = () => new WeatherError(502, 'The weather provider gave an answer that makes no sense');

export class Weather {
  #settings;
  #ask;
  #cache = new Map(); // key → {value, at} | {unknown: true, at}; the least recently stored first
  #asking = new Map(); // key → promise of a cache entry
  #quietUntil = 0; // the provider told us to leave it alone until then

  constructor(settings) {
    this.#settings = settings;
    this.#ask = settings.apiKey ? askOpenWeatherMap : askOpenMeteo;
  }

  /** → {value, cache: 'HIT' | 'MISS' | 'STALE', age} (seconds). Throws `WeatherError`. */
  async of(city) {
    const key = city.normalize('NFC').toLowerCase();
    const ttl = this.#settings.ttl * 1000;
    const known = this.#cache.get(key);
    const age = known ? performance.now() - known.at : Infinity;
    if (known?.unknown && age < Math.min(REMEMBER_UNKNOWN, ttl)) throw unknownCity();
    if (known?.value && age < ttl) return { value: known.value, cache: 'HIT', age: age / 1000 };
    try {
      const entry = await this.#fetchOnce(key, city);
      return { value: entry.value, cache: 'MISS', age: 0 };
    } catch (error) {
      const old = this.#cache.get(key);
      const oldAge = old ? performance.now() - old.at : Infinity;
      if (error.status !== 404 && old?.value && oldAge < KEEP_STALE) return { value: old.value, cache: 'STALE', age: oldAge / 1000 };
      throw error;
    }
  }

  #fetchOnce(key, city) {
    let asking = this.#asking.get(key);
    if (!asking) {
      asking = this.#fetch(key, city).finally(() => this.#asking.delete(key));
      this.#asking.set(key, asking);
    }
    return asking;
  }

  async #fetch(key, city) {
    const quiet = this.#quietUntil - performance.now();
    if (quiet > 0) throw new WeatherError(503, 'The weather provider is limiting us; try again later', Math.ceil(quiet / 1000));
    try {
      const value = await this.#ask(city, this.#settings, performance.now() + TIMEOUT);
      return this.#remember(key, { value: { ...value, fetched_at: this.#settings.time(new Date()) }, at: performance.now() });
    } catch (error) {
      if (error.status === 404) this.#remember(key, { unknown: true, at: performance.now() });
      if (error.heed) this.#quietUntil = performance.now() + error.retryAfter * 1000;
      throw error instanceof WeatherError ? error : nonsense();
    }
  }

  #remember(key, entry) {
    this.#cache.delete(key);
    this.#cache.set(key, entry);
    if (this.#cache.size > MAX_CITIES) this.#cache.delete(this.#cache.keys().next().value);
    return entry;
  }
}

// ---------------------------------------------------------------- asking

/** GET → {status, headers, text}. No redirects: they are an answer like any other. */
function get(url, deadline) {
  return new Promise((resolve, reject) => {
    const fail = (error) => {
      clearTimeout(timer);
      reject(error);
      request.destroy();
    };
    const timer = setTimeout(() => fail(new WeatherError(504, 'The weather provider did not answer in time')), Math.max(1, deadline - performance.now()));
    const unreachable = () => fail(new WeatherError(502, 'The weather provider cannot be reached'));
    const request = (url.protocol === 'https:' ? https : http).get(url, { agent: false, headers: { Accept: 'application/json' } }, (response) => {
      const chunks = [];
      let size = 0;
      response.on('data', (chunk) => {
        size += chunk.length;
        if (size > MAX_ANSWER) fail(nonsense());
        else chunks.push(chunk);
      });
      response.on('error', unreachable);
      response.on('end', () => {
        clearTimeout(timer);
        resolve({ status: response.statusCode, headers: response.headers, text: Buffer.concat(chunks).toString('utf8') });
      });
    });
    request.on('error', unreachable);
  });
}

function retryAfterOf(headers) {
  const text = headers['retry-after'] ?? '';
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) : Math.ceil((Date.parse(text) - Date.now()) / 1000);
  return Number.isFinite(seconds) ? Math.min(3600, Math.max(1, seconds)) : null;
}

async function getJson(base, path, query, deadline, isUnknownCity = () => false) {
  const url = new URL(`${base.replace(/\/+$/, '')}${path}?${new URLSearchParams(query)}`);
  const { status, headers, text } = await get(url, deadline);
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    // judged below
  }
  if (status === 429) {
    const told = retryAfterOf(headers);
    throw Object.assign(new WeatherError(503, 'The weather provider is limiting us; try again later', told ?? DEFAULT_RETRY), { heed: told !== null });
  }
  if (status === 401 || status === 403) throw new WeatherError(502, 'The weather provider rejected our key');
  if (isUnknownCity(status, body)) throw unknownCity();
  if (status !== 200) throw new WeatherError(502, 'The weather provider answered with an error');
  if (body === null || typeof body !== 'object') throw nonsense();
  return body;
}

const number = (value, min = -1e6, max = 1e6) => {
  if (typeof value !== 'number' || !(value >= min && value <= max)) throw nonsense();
  return value;
};
const words = (value) => {
  if (typeof value !== 'string' || value === '') throw nonsense();
  return value;
};
const country = (value) => (value === undefined || value === null ? null : words(value)); // a place at sea has none
const moment = (milliseconds) => {
  const date = new Date(milliseconds);
  if (Number.isNaN(date.getTime()) || date.getUTCFullYear() > 9999 || date.getUTCFullYear() < 1900) throw nonsense();
  return date;
};

async function askOpenWeatherMap(city, { apiKey, openWeatherMap, time }, deadline) {
  const query = { q: city, units: 'metric', appid: apiKey };
  const isUnknown = (status, body) => status === 404 || (status === 400 && /geocode/i.test(body?.message ?? ''));
  const body = await getJson(openWeatherMap, '/data/2.5/weather', query, deadline, isUnknown);
  return {
    city: words(body.name),
    country: country(body.sys?.country),
    temperature: number(body.main?.temp),
    feels_like: number(body.main?.feels_like),
    humidity: number(body.main?.humidity, 0, 100),
    wind_speed: number(body.wind?.speed, 0),
    description: words(body.weather?.[0]?.description),
    observed_at: time(moment(number(body.dt, 0, 1e12) * 1000)),
  };
}

async function askOpenMeteo(city, { openMeteo, openMeteoGeocoding, time }, deadline) {
  const found = await getJson(openMeteoGeocoding, '/v1/search', { name: city, count: 1 }, deadline, (status) => status === 404);
  if (foundNothing(found)) throw unknownCity();
  const place = found.results?.[0];
  const query = {
    latitude: number(place?.latitude, -90, 90),
    longitude: number(place?.longitude, -180, 180),
    current: 'temperature_2m,apparent_temperature,relative_humidity_2m,wind_speed_10m,weather_code',
    wind_speed_unit: 'ms',
  };
  const { current, utc_offset_seconds: offset = 0 } = await getJson(openMeteo, '/v1/forecast', query, deadline);
  return {
    city: words(place.name),
    country: country(place.country_code ?? place.country),
    temperature: number(current?.temperature_2m),
    feels_like: number(current?.apparent_temperature),
    humidity: number(current?.relative_humidity_2m, 0, 100),
    wind_speed: number(current?.wind_speed_10m, 0),
    description: describe(number(current?.weather_code, 0, 99)),
    observed_at: time(openMeteoTime(current.time, number(offset))),
  };
}

/** `{"results": []}`, or no `results` at all (and nothing else but `generationtime_ms`). */
const foundNothing = (found) =>
  found.results === undefined ? !Array.isArray(found) && Object.keys(found).every((key) => key === 'generationtime_ms') : found.results?.length === 0;

/** `2024-05-01T12:00` is local time there, `offset` seconds ahead of UTC (0 unless asked otherwise). */
function openMeteoTime(value, offset) {
  if (typeof value === 'number') return moment(value * 1000);
  if (typeof value !== 'string') throw nonsense();
  if (/(Z|[+-]\d\d:?\d\d)$/.test(value)) return moment(Date.parse(value));
  return moment(Date.parse(`${value}Z`) - offset * 1000);
}

const WMO = [
  [0, 'clear sky'], [1, 'mainly clear'], [2, 'partly cloudy'], [3, 'overcast'], [45, 'fog'], [48, 'depositing rime fog'],
  [51, 'light drizzle'], [53, 'moderate drizzle'], [55, 'dense drizzle'], [56, 'light freezing drizzle'], [57, 'dense freezing drizzle'],
  [61, 'slight rain'], [63, 'moderate rain'], [65, 'heavy rain'], [66, 'light freezing rain'], [67, 'heavy freezing rain'],
  [71, 'slight snowfall'], [73, 'moderate snowfall'], [75, 'heavy snowfall'], [77, 'snow grains'],
  [80, 'slight rain showers'], [81, 'moderate rain showers'], [82, 'violent rain showers'], [85, 'slight snow showers'], [86, 'heavy snow showers'],
  [95, 'thunderstorm'], [96, 'thunderstorm with slight hail'], [99, 'thunderstorm with heavy hail'],
];
const describe = (code) => WMO.find(([known]) => known === code)?.[1] ?? 'unknown weather';
