// Stage 8: chat. One room; messages are stored, then told to everyone connected, in id order.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { HttpError, json, log, rawAnswer } from './http.mjs';
import { limitOf, now, time, whole } from './common.mjs';
import { problemOf, string } from './validation.mjs';
import { Connection, handshakeProblem, textFrame } from './websocket.mjs';

const MAX_SOCKETS_PER_USER = 50;
const MAX_UNDERWAY = 64; // messages of one socket that are not stored yet; then it is not read for a while
const LONGEST_TIMER = 24 * 3600_000;

const textCheck = string({ min: 1, max: 2000, blank: false });
const clientIdCheck = string({ min: 1, max: 100 });

export function chat(app, { store, settings, users }) {
  const { messages, users: accounts } = store.tables;
  const byClientId = messages.groupBy(({ user_id, client_id }) => (client_id === null ? undefined : `${user_id} ${client_id}`));
  const sockets = new Map(); // user id → Set of connections
  const everyone = function* () {
    for (const set of sockets.values()) yield* set;
  };
  const person = (id) => ({ id, username: accounts.get(id).username });
  const wire = (row) => ({
    type: 'message', id: row.id, user: person(row.user_id), text: row.text, sent_at: time(row.sent_at),
    ...(row.client_id === null ? {} : { client_id: row.client_id }),
  });
  const messageFrame = (row) => textFrame(JSON.stringify(wire(row)));

  // ---------------------------------------------------------------- messages

  // What is to be told, strictly in order; each waits until it is on disk.
  let line = Promise.resolve();
  const afterStored = (action) => {
    line = line.then(async () => {
      for (;;) {
        try {
          await store.durable();
          break;
        } catch {
          await new Promise((resolve) => setTimeout(resolve, 500)); // the journal tries again, so do we
        }
      }
      try {
        action();
      } catch (error) {
        log('bug', { error: String(error.stack) }); // the line must go on
      }
    });
    return line;
  };

  const refuse = (connection, detail, clientId) => connection.send(textFrame(JSON.stringify({ type: 'error', detail, ...(clientId === undefined ? {} : { client_id: clientId }) })));

  const receive = (connection, userId, text) => {
    let sent;
    try {
      sent = JSON.parse(text);
    } catch {
      return refuse(connection, 'This is not JSON');
    }
    if (sent === null || typeof sent !== 'object' || Array.isArray(sent)) return refuse(connection, 'Must be an object: {"text": "…"}');
    let clientId;
    if (Object.hasOwn(sent, 'client_id') && sent.client_id !== null) {
      const problem = problemOf(clientIdCheck, sent.client_id);
      if (problem) return refuse(connection, `client_id: ${problem}`);
      clientId = sent.client_id;
    }
    const problem = Object.hasOwn(sent, 'text') ? problemOf(textCheck, sent.text) : 'Field required';
    if (problem) return refuse(connection, `text: ${problem}`, clientId);

    const known = clientId === undefined ? undefined : byClientId.get(`${userId} ${clientId}`).values().next().value;
    if (known && known.text !== sent.text) return refuse(connection, 'This client_id has been used for another text', clientId);
    if (known) return afterStored(() => connection.send(messageFrame(known)));
    const row = store.put('messages', { id: store.nextId('messages'), user_id: userId, text: sent.text, sent_at: now(), client_id: clientId ?? null });
    return afterStored(() => {
      const bytes = messageFrame(row);
      for (const other of everyone()) other.send(bytes);
    });
  };

  // ---------------------------------------------------------------- who is here

  const presence = (event, userId) => textFrame(JSON.stringify({ type: 'presence', event, user: person(userId), online: [...sockets.keys()].map(person) }));

  const join = (connection, userId) => {
    const first = !sockets.has(userId);
    if (first) sockets.set(userId, new Set());
    sockets.get(userId).add(connection);
    const bytes = presence('joined', userId);
    // Everyone hears of a person once; a second window of that person needs the list all the same.
    if (first) for (const other of everyone()) other.send(bytes);
    else connection.send(bytes);
  };

  const leave = (connection, userId) => {
    const set = sockets.get(userId);
    if (!set?.delete(connection) || set.size > 0) return;
    sockets.delete(userId);
    if (app.draining) return;
    const bytes = presence('left', userId);
    for (const other of everyone()) other.send(bytes);
  };

  // ---------------------------------------------------------------- the handshake

  const isForeign = (request) => {
    const { origin, host } = request.headers;
    if (origin === undefined) return false; // a program, not a page
    if (settings.chatOrigins.some((allowed) => allowed.replace(/\/$/, '').toLowerCase() === origin.toLowerCase())) return origin === 'null';
    if (!URL.canParse(origin) || host === undefined) return true;
    const { protocol, host: originHost } = new URL(origin);
    if (!/^https?:$/.test(protocol) || !URL.canParse(`${protocol}//${host}`)) return true;
    return new URL(`${protocol}//${host}`).host !== originHost;
  };

  /** → {token, subprotocol} from the header, the subprotocols or the query, the first of them that is there. */
  const credentials = (request, query) => {
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
    const at = offered.indexOf('bearer');
    const subprotocol = at < 0 ? undefined : 'bearer';
    const header = request.headers.authorization;
    if (header !== undefined) return { token: /^Bearer +(\S+)$/i.exec(header)?.[1], subprotocol };
    if (at >= 0 && offered.length > 1) return { token: offered[at + 1] ?? offered[at - 1], subprotocol };
    return { token: query.get('token') ?? undefined, subprotocol };
  };

  app.upgrades.set('/ws/chat', (request, socket, head, query) => {
    const problem = handshakeProblem(request);
    if (problem) return rawAnswer(socket, ...problem);
    if (isForeign(request)) return rawAnswer(socket, 403, 'This page may not connect here');
    const { token, subprotocol } = credentials(request, query);
    const session = users.verify(token);
    if (!session) return rawAnswer(socket, 401, 'A valid token is needed', { 'WWW-Authenticate': 'Bearer' });
    const userId = session.user.id;
    const connection = new Connection(request, socket, head, { subprotocol });
    if ((sockets.get(userId)?.size ?? 0) >= MAX_SOCKETS_PER_USER) return connection.close(1013, 'You have too many connections');

    let underway = 0;
    let expiry;
    const watchExpiry = () => {
      const left = session.expires - Date.now();
      if (left <= 0) connection.close(1008, 'Your token has expired');
      else expiry = setTimeout(watchExpiry, Math.min(left, LONGEST_TIMER));
    };
    connection.onText = async (text) => {
      if (Date.now() >= session.expires) return connection.close(1008, 'Your token has expired');
      if (++underway >= MAX_UNDERWAY) connection.pause();
      try {
        await receive(connection, userId, text);
      } finally {
        if (--underway < MAX_UNDERWAY) connection.resume();
      }
    };
    connection.onBinary = () => refuse(connection, 'Only text is understood');
    connection.onLeft = () => {
      clearTimeout(expiry);
      leave(connection, userId);
    };
    join(connection, userId);
    watchExpiry();
  });
  app.route('GET', '/ws/chat', 'open', () => {
    throw new HttpError(426, 'This is a WebSocket', { Upgrade: 'websocket' });
  });

  // ---------------------------------------------------------------- history and page

  app.route('GET', '/chat/messages', 'user', (context) => {
    const limit = limitOf(context);
    const cursor = { min: -(2 ** 63), max: 2 ** 63 };
    const after = whole(context, 'after', undefined, cursor);
    const before = whole(context, 'before', undefined, cursor);
    // Ids are 1, 2, 3, … without a gap (nothing is deleted), so a page is a range of them.
    const last = Math.min(messages.lastId, (before ?? Infinity) - 1);
    const first = Math.max(1, (after ?? -Infinity) + 1);
    const from = after === undefined ? Math.max(first, last - limit + 1) : first;
    const page = [];
    for (let id = from; id <= last && page.length < limit; id++) page.push(wire(messages.get(id)));
    return json(page);
  });

  const page = readFileSync(new URL('./chat.html', import.meta.url), 'utf8');
  app.route('GET', '/chat', 'open', () => htmlPage(page));

  return {
    stop() {
      for (const connection of [...everyone()]) connection.close(1012, 'The server is restarting');
    },
    destroy() {
      for (const connection of [...everyone()]) connection.destroy();
    },
  };
}

/** A page of ours: only its own inline style and script may run. */
export function htmlPage(html) {
  const hashes = (tag) => [...html.matchAll(new RegExp(`<${tag}>([^]*?)</${tag}>`, 'g'))].map(([, text]) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`).join(' ');
  return {
    status: 200,
    body: html,
    headers: {
      'Content-Type': 'text/html; charset=utf-8',
      'Cache-Control': 'no-cache',
      'Content-Security-Policy': `default-src 'none'; script-src ${hashes('script')}; style-src ${hashes('style')}; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
      'Referrer-Policy': 'no-referrer',
    },
  };
}
