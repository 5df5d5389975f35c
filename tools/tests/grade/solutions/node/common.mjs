// What several resources share.
import { checked, integer } from './validation.mjs';

/** Times are kept as milliseconds and told as ISO 8601 in UTC. */
export const now = () => Date.now();
export const time = (milliseconds) => (milliseconds === null ? null : new Date(milliseconds).toISOString().replace('Z', '+00:00'));

/** `limit` (1..100) and `offset` of a list. */
export function page(context, fallback = 20) {
  return { limit: limitOf(context, fallback), offset: whole(context, 'offset', 0, { min: 0 }) };
}

export const limitOf = (context, fallback = 20) => whole(context, 'limit', fallback, { min: 1, max: 100 });

export function whole(context, name, fallback, range) {
  const text = context.query(name);
  return text === undefined ? fallback : checked(['query', name], text, integer(range));
}
