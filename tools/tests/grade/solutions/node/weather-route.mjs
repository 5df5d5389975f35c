// Stage 6: GET /weather.
import { HttpError, json } from './http.mjs';
import { Weather, WeatherError } from './weather.mjs';
import { checked, invalid, string, trimmed } from './validation.mjs';
import { time } from './common.mjs';

const cityCheck = string({ min: 1, max: 100 });

export function weatherRoute(app, { settings }) {
  const weather = new Weather({ ...settings.weather, time: (date) => time(date.getTime()) });

  app.route('GET', '/weather', 'open', async (context) => {
    const sent = context.query('city');
    if (sent === undefined) throw invalid(['query', 'city'], 'Field required', 'missing');
    const city = checked(['query', 'city'], trimmed(sent).replace(/\s+/g, ' '), cityCheck);
    try {
      const { value, cache, age } = await weather.of(city);
      const seconds = Math.floor(age);
      const left = Math.max(0, settings.weather.ttl - seconds);
      return json(value, 200, { 'X-Cache': cache, Age: String(seconds), 'Cache-Control': `max-age=${cache === 'STALE' ? 0 : left}` });
    } catch (error) {
      if (!(error instanceof WeatherError)) throw error;
      throw new HttpError(error.status, error.message, error.retryAfter === undefined ? {} : { 'Retry-After': String(error.retryAfter) });
    }
  });
}
